//! Whole numbers as Go reads them (`ParseInt` with base 10 and `Atoi` of package strconv).

use std::fmt;

use crate::value::quote::quoted;

/// Why a text is no whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntegerError {
    /// It has not the form of a whole number.
    Syntax,
    /// It is too great or too small.
    Range,
}

/// Reads a number as `ParseInt(text, 10, 32)` does.
///
/// # Errors
/// The first fault from the left.
pub fn parse_i32(text: &str) -> Result<i32, IntegerError> {
    i32::try_from(parse(text, u64::from(u32::MAX))?).map_err(|_| IntegerError::Range)
}

/// Reads a number as `Atoi(text)` does on a 64-bit machine.
///
/// # Errors
/// The first fault from the left.
pub fn parse_i64(text: &str) -> Result<i64, IntegerError> {
    parse(text, u64::MAX)
}

/// One optional sign, then ASCII digits. While the digits are read, only the unsigned limit counts:
/// what follows a number that is beyond the signed one is still looked at.
fn parse(text: &str, limit: u64) -> Result<i64, IntegerError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() {
        return Err(IntegerError::Syntax);
    }
    let mut amount = 0_u64;
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return Err(IntegerError::Syntax);
        }
        let more = amount.checked_mul(10).and_then(|amount| amount.checked_add(u64::from(byte - b'0')));
        amount = more.filter(|amount| *amount <= limit).ok_or(IntegerError::Range)?;
    }
    let number =
        if text.starts_with('-') { 0_i64.checked_sub_unsigned(amount) } else { i64::try_from(amount).ok() };
    number.ok_or(IntegerError::Range)
}

impl IntegerError {
    /// Go's text for it, given the function that reads (`ParseInt`, `Atoi`) and the whole value.
    pub fn text<'a>(self, function: &'a str, value: &'a str) -> impl fmt::Display + 'a {
        let what = match self {
            IntegerError::Syntax => "invalid syntax",
            IntegerError::Range => "value out of range",
        };
        fmt::from_fn(move |f| write!(f, "strconv.{function}: parsing {}: {what}", quoted(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    use IntegerError::{Range, Syntax};

    #[rstest]
    #[case::zero("0", Ok(0))]
    #[case::plus("+5", Ok(5))]
    #[case::minus("-7", Ok(-7))]
    #[case::minus_zero("-0", Ok(0))]
    #[case::leading_zeros("0000000000000000000000007", Ok(7))]
    #[case::greatest("2147483647", Ok(i32::MAX))]
    #[case::least("-2147483648", Ok(i32::MIN))]
    #[case::too_great("2147483648", Err(Range))]
    #[case::too_small("-2147483649", Err(Range))]
    #[case::far_too_great("99999999999999999999", Err(Range))]
    #[case::junk_within_the_unsigned_range("4294967295x", Err(Syntax))]
    #[case::junk_beyond_the_signed_range("2147483648x", Err(Syntax))]
    #[case::junk_beyond_the_unsigned_range("4294967296x", Err(Range))]
    #[case::junk_first("x4294967296", Err(Syntax))]
    #[case::empty("", Err(Syntax))]
    #[case::sign("-", Err(Syntax))]
    #[case::two_signs("+-1", Err(Syntax))]
    #[case::leading_blank(" 1", Err(Syntax))]
    #[case::line_end("7\n", Err(Syntax))]
    #[case::underscore("5_0", Err(Syntax))]
    #[case::point("1.0", Err(Syntax))]
    #[case::exponent("1e3", Err(Syntax))]
    #[case::base("0x10", Err(Syntax))]
    #[case::other_digits("٥٠", Err(Syntax))]
    fn of_32_bits(#[case] text: &str, #[case] expected: Result<i32, IntegerError>) {
        assert_eq!(parse_i32(text), expected);
    }

    #[rstest]
    #[case::beyond_32_bits("2147483648", Ok(2_147_483_648))]
    #[case::greatest("9223372036854775807", Ok(i64::MAX))]
    #[case::least("-9223372036854775808", Ok(i64::MIN))]
    #[case::too_great("9223372036854775808", Err(Range))]
    #[case::too_small("-9223372036854775809", Err(Range))]
    #[case::junk_beyond_the_signed_range("9223372036854775808x", Err(Syntax))]
    #[case::junk_beyond_the_unsigned_range("18446744073709551616x", Err(Range))]
    #[case::greatest_unsigned("18446744073709551615x", Err(Syntax))]
    fn of_64_bits(#[case] text: &str, #[case] expected: Result<i64, IntegerError>) {
        assert_eq!(parse_i64(text), expected);
    }

    #[test]
    fn told() {
        let text = |value: &str| parse_i64(value).unwrap_err().text("Atoi", value).to_string();
        assert_eq!(text("2_048"), "strconv.Atoi: parsing \"2_048\": invalid syntax");
        assert_eq!(
            text("99999999999999999999"),
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range"
        );
    }

    proptest! {
        #[test]
        fn every_number_reads_back(number in any::<i64>(), shift in 0..64, zeros in 0_usize..4) {
            let number: i64 = number >> shift;
            let sign = if number < 0 { "-" } else { "" };
            let text = format!("{sign}{}{}", "0".repeat(zeros), number.unsigned_abs());
            prop_assert_eq!(parse_i64(&text), Ok(number));
            prop_assert_eq!(parse_i32(&text).ok(), i32::try_from(number).ok());
        }

        #[test]
        fn whatever_is_read_rust_reads_too(text in "[-+]?[0-9]{0,22}|.*") {
            prop_assert_eq!(parse_i64(&text).ok(), text.parse::<i64>().ok());
            prop_assert_eq!(parse_i32(&text).ok(), text.parse::<i32>().ok());
        }
    }
}
