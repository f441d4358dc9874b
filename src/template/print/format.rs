//! `printf`: a format and its arguments.

use super::super::context::Context;
use super::super::failure::Result;
use super::super::runes::first_rune;
use super::super::value::Value;
use super::Printer;
use super::verb::{Flags, reasonable};

/// Where a format has been read to.
struct Format<'f> {
    text: &'f [u8],
    at: usize,
}

/// Which argument is next.
struct Next {
    argument: usize,
    /// Arguments were chosen by number.
    reordered: bool,
    /// The numbers made sense so far, in this verb.
    good: bool,
    /// A number has just been read.
    chosen: bool,
}

/// What the format makes of the arguments.
pub(in super::super) fn sprintf<'e>(
    format: &[u8],
    arguments: &[Value<'e>],
    context: &Context<'e>,
) -> Result<Vec<u8>> {
    let mut to = Vec::with_capacity(format.len());
    let mut format = Format {
        text: format,
        at: 0,
    };
    let mut next = Next {
        argument: 0,
        reordered: false,
        good: true,
        chosen: false,
    };
    while format.copy_literal(&mut to) {
        context.spend(1)?;
        let mut printer = Printer::new(context, &mut to);
        next.good = true;
        format.flags(&mut printer.flags);
        format.choose(&mut next, arguments.len());
        format.width(&mut printer, &mut next, arguments)?;
        format.precision(&mut printer, &mut next, arguments)?;
        if !next.chosen {
            format.choose(&mut next, arguments.len());
        }
        let Some(verb) = format.verb() else {
            to.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        match arguments.get(next.argument) {
            _ if verb == '%' => printer.write(b"%"),
            _ if !next.good => printer.write(format!("%!{verb}(BADINDEX)").as_bytes()),
            None => printer.write(format!("%!{verb}(MISSING)").as_bytes()),
            Some(argument) => {
                if verb == 'v' {
                    let flags = &mut printer.flags;
                    flags.sharp_v = std::mem::take(&mut flags.sharp);
                    flags.plus_v = std::mem::take(&mut flags.plus);
                }
                printer.argument(argument, verb)?;
                next.argument += 1;
            }
        }
    }
    if !next.reordered && next.argument < arguments.len() {
        append_extra(&arguments[next.argument..], context, &mut to)?;
    }
    Ok(to)
}

/// Arguments that nobody asked for.
fn append_extra<'e>(
    arguments: &[Value<'e>],
    context: &Context<'e>,
    to: &mut Vec<u8>,
) -> Result<()> {
    to.extend_from_slice(b"%!(EXTRA ");
    for (at, argument) in arguments.iter().enumerate() {
        if at > 0 {
            to.extend_from_slice(b", ");
        }
        if !matches!(argument, Value::Missing | Value::Nil) {
            to.extend_from_slice(argument.type_name().as_bytes());
            to.push(b'=');
        }
        super::append_value(argument, context, to)?;
    }
    to.push(b')');
    Ok(())
}

// === impl Format ===

impl Format<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Copies up to the next `%`, and passes it. False at the end.
    fn copy_literal(&mut self, to: &mut Vec<u8>) -> bool {
        let rest = &self.text[self.at..];
        let length = memchr::memchr(b'%', rest).unwrap_or(rest.len());
        to.extend_from_slice(&rest[..length]);
        self.at += length + 1;
        length < rest.len()
    }

    fn flags(&mut self, flags: &mut Flags) {
        loop {
            match self.peek() {
                Some(b'#') => flags.sharp = true,
                Some(b'0') => flags.zero = true,
                Some(b'+') => flags.plus = true,
                Some(b'-') => flags.minus = true,
                Some(b' ') => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// `[3]`: which argument is next.
    fn choose(&mut self, next: &mut Next, arguments: usize) {
        next.chosen = false;
        if self.peek() != Some(b'[') {
            return;
        }
        next.reordered = true;
        let rest = &self.text[self.at..];
        let Some(close) = memchr::memchr(b']', rest).filter(|_| rest.len() >= 3) else {
            next.good = false;
            self.at += 1;
            return;
        };
        let number = str::from_utf8(&rest[1..close]).ok().and_then(parse_number);
        self.at += close + 1;
        match number {
            Some(number) if (1..=arguments).contains(&number) => {
                next.argument = number - 1;
                next.chosen = true;
            }
            number => {
                next.good = false;
                next.chosen = number.is_some();
            }
        }
    }

    fn width(
        &mut self,
        printer: &mut Printer<'_, '_>,
        next: &mut Next,
        arguments: &[Value<'_>],
    ) -> Result<()> {
        if self.peek() == Some(b'*') {
            self.at += 1;
            let (width, negative) = next.number(arguments)?;
            printer.flags.width = width;
            if width.is_none() {
                printer.write(b"%!(BADWIDTH)");
            }
            printer.flags.minus |= negative;
            next.chosen = false;
            return Ok(());
        }
        printer.flags.width = self.number();
        if next.chosen && printer.flags.width.is_some() {
            next.good = false;
        }
        Ok(())
    }

    fn precision(
        &mut self,
        printer: &mut Printer<'_, '_>,
        next: &mut Next,
        arguments: &[Value<'_>],
    ) -> Result<()> {
        if self.peek() != Some(b'.') {
            return Ok(());
        }
        self.at += 1;
        if next.chosen {
            next.good = false;
        }
        self.choose(next, arguments.len());
        if self.peek() == Some(b'*') {
            self.at += 1;
            let (precision, negative) = next.number(arguments)?;
            printer.flags.precision = precision.filter(|_| !negative);
            if printer.flags.precision.is_none() {
                printer.write(b"%!(BADPREC)");
            }
            next.chosen = false;
        } else {
            printer.flags.precision = Some(self.number().unwrap_or(0));
        }
        Ok(())
    }

    /// Digits.
    fn number(&mut self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = str::from_utf8(&rest[..length]).ok().and_then(parse_number);
        self.at += length;
        number
    }

    fn verb(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (verb, length) = first_rune(rest);
        self.at += length;
        Some(verb)
    }
}

fn parse_number(digits: &str) -> Option<usize> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    reasonable(number).ok()?
}

// === impl Next ===

impl Next {
    /// An argument that says a width: its size, and whether it is negative.
    fn number(&mut self, arguments: &[Value<'_>]) -> Result<(Option<usize>, bool)> {
        let number = match arguments.get(self.argument) {
            Some(Value::Int(number, kind)) if !(kind.is_unsigned() && *number < 0) => Some(*number),
            _ => None,
        };
        if self.argument < arguments.len() {
            self.argument += 1;
        }
        Ok(match number {
            None => (None, false),
            Some(number) => (reasonable(number)?, number < 0),
        })
    }
}
