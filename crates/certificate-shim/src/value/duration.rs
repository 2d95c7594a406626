//! Durations as Go reads and writes them (`ParseDuration` and `Duration.String` of package time).

use std::fmt;

use crate::value::quote::time_quoted;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// It has not the form of a duration, or is too long for one.
    Invalid,
    /// A number without unit.
    MissingUnit,
    /// A unit that there is not: everything up to the next digit or point.
    UnknownUnit(String),
}

/// Reads a duration, in nanoseconds.
///
/// An optional sign, then either `0` alone or any number of `12.5h`, where the digits on one side of
/// the point may be missing. Units are `ns`, `us` (or `µs`), `ms`, `s`, `m` and `h`.
///
/// # Errors
/// What Go's parser says first.
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
        // Go adds without looking for overflow, and so takes 2^63 ns twice for nothing.
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
/// The greatest amount that Go's parser lets through, which is one more than a duration can hold.
const LIMIT: u64 = 1 << 63;

fn within_limit(amount: u64) -> Option<u64> {
    Some(amount).filter(|amount| *amount <= LIMIT)
}

/// The amount of the digits before the point; none is too much (`leadingInt`).
fn leading_int(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0_u64, |amount, digit| {
        within_limit(amount.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?)
    })
}

/// The share of a unit that the digits after the point tell. Digits that no longer fit are passed
/// over (`leadingFraction`), and the order of the floating-point operations decides about the last
/// nanosecond.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go does it"
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

/// Splits a text before the first byte that ends its first part; only ASCII bytes do.
fn split_where(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Writes a duration in nanoseconds as Go's `Duration.String` does, which is how it stands in a
/// Certificate: `1h30m0s`, `1.5ms`, `0s`.
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
    /// Go's text for it, given the whole value.
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
