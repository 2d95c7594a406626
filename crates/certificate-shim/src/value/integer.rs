//! Integers, as parsed by Go (`ParseInt` with base 10 and `Atoi` of package strconv).

use std::fmt;

use crate::value::quote::quoted;

/// The reason why a text is not a valid integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntegerError {
    /// The syntax is not that of an integer.
    Syntax,
    /// The number is too large or too small.
    Range,
}

/// Parses a number like `ParseInt(text, 10, 32)`.
///
/// # Errors
/// The text is not an integer, or the number is out of range: the first error from the left.
pub fn parse_i32(text: &str) -> Result<i32, IntegerError> {
    i32::try_from(parse(text, u64::from(u32::MAX))?).map_err(|_| IntegerError::Range)
}

/// Parses a number like `Atoi(text)` on a 64-bit machine.
///
/// # Errors
/// The text is not an integer, or the number is out of range: the first error from the left.
pub fn parse_i64(text: &str) -> Result<i64, IntegerError> {
    parse(text, u64::MAX)
}

/// Parses an optional sign and ASCII digits. While reading digits, only the unsigned limit is checked:
/// an invalid character after a number beyond the signed limit is a syntax error.
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
    /// Go's error text, for a function (`ParseInt`, `Atoi`) and the complete value.
    pub fn text<'a>(self, function: &'a str, value: &'a str) -> impl fmt::Display + 'a {
        let reason = match self {
            IntegerError::Syntax => "invalid syntax",
            IntegerError::Range => "value out of range",
        };
        fmt::from_fn(move |f| write!(f, "strconv.{function}: parsing {}: {reason}", quoted(value)))
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
    #[case::largest("2147483647", Ok(i32::MAX))]
    #[case::smallest("-2147483648", Ok(i32::MIN))]
    #[case::too_large("2147483648", Err(Range))]
    #[case::too_small("-2147483649", Err(Range))]
    #[case::far_too_large("99999999999999999999", Err(Range))]
    #[case::junk_within_the_unsigned_range("4294967295x", Err(Syntax))]
    #[case::junk_beyond_the_signed_range("2147483648x", Err(Syntax))]
    #[case::junk_beyond_the_unsigned_range("4294967296x", Err(Range))]
    #[case::junk_first("x4294967296", Err(Syntax))]
    #[case::empty("", Err(Syntax))]
    #[case::sign("-", Err(Syntax))]
    #[case::two_signs("+-1", Err(Syntax))]
    #[case::leading_space(" 1", Err(Syntax))]
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
    #[case::largest("9223372036854775807", Ok(i64::MAX))]
    #[case::smallest("-9223372036854775808", Ok(i64::MIN))]
    #[case::too_large("9223372036854775808", Err(Range))]
    #[case::too_small("-9223372036854775809", Err(Range))]
    #[case::junk_beyond_the_signed_range("9223372036854775808x", Err(Syntax))]
    #[case::junk_beyond_the_unsigned_range("18446744073709551616x", Err(Range))]
    #[case::largest_unsigned("18446744073709551615x", Err(Syntax))]
    fn of_64_bits(#[case] text: &str, #[case] expected: Result<i64, IntegerError>) {
        assert_eq!(parse_i64(text), expected);
    }

    #[test]
    fn error_texts() {
        let text = |value: &str| parse_i64(value).unwrap_err().text("Atoi", value).to_string();
        assert_eq!(text("2_048"), "strconv.Atoi: parsing \"2_048\": invalid syntax");
        assert_eq!(
            text("99999999999999999999"),
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range"
        );
    }

    proptest! {
        #[test]
        fn every_number_is_parsed(number in any::<i64>(), shift in 0..64, zeros in 0_usize..4) {
            let number: i64 = number >> shift;
            let sign = if number < 0 { "-" } else { "" };
            let text = format!("{sign}{}{}", "0".repeat(zeros), number.unsigned_abs());
            prop_assert_eq!(parse_i64(&text), Ok(number));
            prop_assert_eq!(parse_i32(&text).ok(), i32::try_from(number).ok());
        }

        #[test]
        fn the_result_is_the_same_as_in_rust(text in "[-+]?[0-9]{0,22}|.*") {
            prop_assert_eq!(parse_i64(&text).ok(), text.parse::<i64>().ok());
            prop_assert_eq!(parse_i32(&text).ok(), text.parse::<i32>().ok());
        }
    }
}
