//! Durations, as parsed and formatted by Go (`ParseDuration` and `Duration.String` of package time).

use std::fmt;

use crate::value::quote::time_quoted;

/// The reason why a text is not a valid duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// The syntax is not that of a duration, or the duration is too long.
    Invalid,
    /// A number without unit.
    MissingUnit,
    /// An unknown unit: the text up to the next digit or point.
    UnknownUnit(String),
}

/// Parses a duration, in nanoseconds.
///
/// The syntax is an optional sign, followed by either `0` or a sequence of numbers with units, such as
/// `12.5h`. The digits on one side of the point are optional. Units are `ns`, `us` (or `µs`), `ms`,
/// `s`, `m` and `h`.
///
/// # Errors
/// The text is not a duration, or the duration is too long: the first error of Go's parser.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Invalid);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Invalid);
        }
        let whole = leading_int(whole).ok_or(DurationError::Invalid)?;
        let (unit, after) = split_where(after, |byte| byte == b'.' || byte.is_ascii_digit());
        let nanoseconds: u64 = match unit {
            "" => return Err(DurationError::MissingUnit),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            unknown => return Err(DurationError::UnknownUnit(unknown.to_owned())),
        };
        let whole = whole.checked_mul(nanoseconds).filter(|product| *product <= LIMIT);
        let part = whole.and_then(|whole| within_limit(whole + fraction_of(fraction, nanoseconds)));
        // Go does not check for overflow here, so twice 2^63 ns add up to 0.
        total = part.and_then(|part| within_limit(total.wrapping_add(part))).ok_or(DurationError::Invalid)?;
        rest = after;
    }
    if negative {
        Ok(0_i64.wrapping_sub_unsigned(total))
    } else {
        i64::try_from(total).map_err(|_| DurationError::Invalid)
    }
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// The maximum amount that Go's parser accepts, which is one more than the longest duration.
const LIMIT: u64 = 1 << 63;

fn within_limit(amount: u64) -> Option<u64> {
    Some(amount).filter(|amount| *amount <= LIMIT)
}

/// The value of the digits before the point; `None` if it is too large (`leadingInt`).
fn leading_int(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0_u64, |amount, digit| {
        within_limit(amount.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?)
    })
}

/// The value of the digits after the point, in nanoseconds. Digits that do not fit are ignored
/// (`leadingFraction`). The order of the floating-point operations affects the last nanosecond.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as in Go"
)]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut amount, mut scale) = (0_u64, 1_f64);
    for digit in digits.bytes() {
        if amount > (LIMIT - 1) / 10 {
            break;
        }
        let more = amount * 10 + u64::from(digit - b'0');
        if more > LIMIT {
            break;
        }
        amount = more;
        scale *= 10.0;
    }
    (amount as f64 * (unit as f64 / scale)) as u64
}

fn split_digits(text: &str) -> (&str, &str) {
    split_where(text, |byte| !byte.is_ascii_digit())
}

/// Splits a text before the first byte that matches, which must be ASCII.
fn split_where(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Formats a duration in nanoseconds like Go's `Duration.String`, as in a Certificate: `1h30m0s`,
/// `1.5ms`, `0s`.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let amount = nanoseconds.unsigned_abs();
    let decimal = |unit: u64, decimals: usize| {
        let (whole, fraction) = (amount / unit, amount % unit);
        let fraction = format!(".{fraction:0decimals$}");
        let fraction = if decimals == 0 { "" } else { fraction.trim_end_matches('0').trim_end_matches('.') };
        (whole, fraction.to_owned())
    };
    let (unit, decimals, name) = match amount {
        0 => return "0s".to_owned(),
        1..1_000 => (1, 0, "ns"),
        1_000..1_000_000 => (1_000, 3, "\u{b5}s"),
        1_000_000..SECOND => (1_000_000, 6, "ms"),
        SECOND.. => (SECOND, 9, "s"),
    };
    let (whole, fraction) = decimal(unit, decimals);
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (name, hours, minutes) {
        ("s", 0, 0) => format!("{sign}{seconds}{fraction}s"),
        ("s", 0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
        ("s", _, _) => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
        _ => format!("{sign}{whole}{fraction}{name}"),
    }
}

impl DurationError {
    /// Go's error text, for the complete value.
    pub fn text<'a>(&'a self, value: &'a str) -> impl fmt::Display + 'a {
        let value = time_quoted(value);
        fmt::from_fn(move |f| match self {
            DurationError::Invalid => write!(f, "time: invalid duration {value}"),
            DurationError::MissingUnit => write!(f, "time: missing unit in duration {value}"),
            DurationError::UnknownUnit(unit) => {
                write!(f, "time: unknown unit {} in duration {value}", time_quoted(unit))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    use DurationError::{Invalid, MissingUnit};

    const M: i64 = MINUTE as i64;
    const H: i64 = HOUR as i64;

    fn unknown(unit: &str) -> DurationError {
        DurationError::UnknownUnit(unit.to_owned())
    }

    #[rstest]
    #[case::hours("2160h", Ok(2160 * H))]
    #[case::several("1h30m", Ok(90 * M))]
    #[case::any_order("1s1h", Ok(H + 1_000_000_000))]
    #[case::repeated("30m30m", Ok(H))]
    #[case::every_unit("1h1m1s1ms1us1ns", Ok(H + M + 1_001_001_001))]
    #[case::micro_sign("1\u{b5}s", Ok(1_000))]
    #[case::greek_mu("1\u{3bc}s", Ok(1_000))]
    #[case::zero("0", Ok(0))]
    #[case::plus_zero("+0", Ok(0))]
    #[case::minus_zero("-0", Ok(0))]
    #[case::negative("-1h", Ok(-H))]
    #[case::positive("+1h", Ok(H))]
    #[case::fraction("1.5h", Ok(90 * M))]
    #[case::fraction_alone(".5h", Ok(30 * M))]
    #[case::point_at_the_end("1.h", Ok(H))]
    #[case::fraction_below_a_nanosecond("0.9ns", Ok(0))]
    #[case::long_fraction("0.9999999999999999999999h", Ok(H))]
    #[case::rounded_as_floats_are("2562047.78801h", Ok(9_223_372_036_836_000_000))]
    #[case::leading_zeros("007h", Ok(7 * H))]
    #[case::largest("9223372036854775807ns", Ok(i64::MAX))]
    #[case::smallest("-9223372036854775808ns", Ok(i64::MIN))]
    #[case::wraps_around("9223372036854775808ns9223372036854775808ns1h", Ok(H))]
    #[case::one_above_the_limit("9223372036854775808ns", Err(Invalid))]
    #[case::too_many_hours("2562048h", Err(Invalid))]
    #[case::too_many_digits("92233720368547758080ns", Err(Invalid))]
    #[case::sum_too_large("2562047h2562047h", Err(Invalid))]
    #[case::empty("", Err(Invalid))]
    #[case::sign("-", Err(Invalid))]
    #[case::two_signs("--1h", Err(Invalid))]
    #[case::leading_space(" 1h", Err(Invalid))]
    #[case::no_digits(".h", Err(Invalid))]
    #[case::no_digits_later("1h.", Err(Invalid))]
    #[case::infinity("∞", Err(Invalid))]
    #[case::other_digits("١h", Err(Invalid))]
    #[case::no_unit("3600", Err(MissingUnit))]
    #[case::no_second_unit("1h30", Err(MissingUnit))]
    #[case::two_zeros("00", Err(MissingUnit))]
    #[case::days("90d", Err(unknown("d")))]
    #[case::upper_case("1H", Err(unknown("H")))]
    #[case::trailing_space("1h ", Err(unknown("h ")))]
    #[case::inner_sign("1h-30m", Err(unknown("h-")))]
    #[case::comma("1h,2h", Err(unknown("h,")))]
    #[case::exponent("1e3s", Err(unknown("e")))]
    fn read(#[case] text: &str, #[case] expected: Result<i64, DurationError>) {
        assert_eq!(parse(text), expected);
    }

    #[rstest]
    #[case("", "time: invalid duration \"\"")]
    #[case("1", "time: missing unit in duration \"1\"")]
    #[case("5\u{a0}m", r#"time: unknown unit "\xc2\xa0m" in duration "5\xc2\xa0m""#)]
    #[case("1h\n", r#"time: unknown unit "h\x0a" in duration "1h\x0a""#)]
    fn error_texts(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse(text).unwrap_err().text(text).to_string(), expected);
    }

    #[rstest]
    #[case(0, "0s")]
    #[case(1, "1ns")]
    #[case(999, "999ns")]
    #[case(1_000, "1\u{b5}s")]
    #[case(1_100, "1.1\u{b5}s")]
    #[case(2_200_000, "2.2ms")]
    #[case(1_000_001, "1.000001ms")]
    #[case(3_300_000_000, "3.3s")]
    #[case(60_000_000_000, "1m0s")]
    #[case(90 * M, "1h30m0s")]
    #[case(H, "1h0m0s")]
    #[case(H + 100_000_000, "1h0m0.1s")]
    #[case(2160 * H + 1, "2160h0m0.000000001s")]
    #[case(-90 * M, "-1h30m0s")]
    #[case(i64::MAX, "2562047h47m16.854775807s")]
    #[case(i64::MIN, "-2562047h47m16.854775808s")]
    fn formatted(#[case] nanoseconds: i64, #[case] expected: &str) {
        assert_eq!(format(nanoseconds), expected);
    }

    proptest! {
        #[test]
        fn formatted_durations_are_parsed(nanoseconds in any::<i64>(), shift in 0..64) {
            let nanoseconds = nanoseconds >> shift;
            prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }

        #[test]
        fn whole_units_add_up(hours in 0_i64..1_000_000, minutes in 0_i64..100, nanoseconds in 0_i64..1_000_000) {
            let text = format!("{minutes}m{nanoseconds}ns{hours}h");
            prop_assert_eq!(parse(&text), Ok(hours * H + minutes * M + nanoseconds));
        }

        #[test]
        fn a_sign_negates(text in "([0-9]{1,6}(\\.[0-9]{0,12})?(ns|us|ms|s|m|h)){1,4}") {
            prop_assert_eq!(parse(&format!("-{text}")), parse(&text).map(|amount| -amount));
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9nuµmsh ]{0,16}|.*") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.text(&text).to_string().starts_with("time: "));
            }
        }
    }
}
