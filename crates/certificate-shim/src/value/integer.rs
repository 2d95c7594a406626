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
    pub fn text(self, function: &str, value: &str) -> impl fmt::Display {
        let what = match self {
            IntegerError::Syntax => "invalid syntax",
            IntegerError::Range => "value out of range",
        };
        format!("strconv.{function}: parsing {}: {what}", quoted(value))
    }
}
