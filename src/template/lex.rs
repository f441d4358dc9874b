//! Tokens of a template, as Go's `text/template` cuts them.

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind<'t>,
    /// In bytes from the start of the template.
    pub(super) at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenKind<'t> {
    Text(&'t str),
    LeftDelimiter,
    RightDelimiter,
    LeftParenthesis,
    RightParenthesis,
    Space,
    Pipe,
    Assign,
    Declare,
    Bool(bool),
    /// Also the keywords: they have no meaning elsewhere.
    Identifier(&'t str),
    /// Without its dot.
    Field(&'t str),
    /// With its `$`.
    Variable(&'t str),
    Dot,
    /// `'a'`, with its quotes.
    Char(&'t str),
    Number(&'t str),
    /// `"a"` or `` `a` ``, with its quotes.
    Quoted(&'t str),
    /// Punctuation that may have a meaning.
    Other(char),
    End,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) message: String,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts `text` into tokens; the last is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    lexer.texts()?;
    Ok(lexer.tokens)
}

pub(super) fn error<T>(at: usize, message: impl Into<String>) -> Result<T, SyntaxError> {
    let message = message.into();
    Err(SyntaxError { at, message })
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
    }

    fn accept(&mut self, wanted: &str) -> bool {
        let accepted = self.peek().is_some_and(|next| wanted.contains(next));
        if accepted {
            self.next();
        }
        accepted
    }

    fn push(&mut self, at: usize, kind: TokenKind<'t>) {
        self.tokens.push(Token { kind, at });
    }

    fn skip_spaces(&mut self) {
        self.take_while(is_space);
    }

    fn texts(&mut self) -> Result<(), SyntaxError> {
        loop {
            let start = self.at;
            let Some(before) = self.rest().find(LEFT) else {
                if !self.rest().is_empty() {
                    self.push(start, TokenKind::Text(self.rest()));
                }
                self.push(self.text.len(), TokenKind::End);
                return Ok(());
            };
            let open = start + before;
            let trims = is_left_trim(&self.text[open + LEFT.len()..]);
            let mut text = &self.text[start..open];
            if trims {
                text = text.trim_end_matches(SPACES);
            }
            if !text.is_empty() {
                self.push(start, TokenKind::Text(text));
            }
            self.at = open + LEFT.len() + if trims { 2 } else { 0 };
            if self.rest().starts_with("/*") {
                self.comment()?;
            } else {
                self.push(open, TokenKind::LeftDelimiter);
                self.action(open)?;
            }
        }
    }

    fn comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        self.at += 2;
        let Some(end) = self.rest().find("*/") else {
            return error(start, "the comment is not closed");
        };
        self.at += end + 2;
        if self.right_delimiter().is_none() {
            return error(start, "a comment ends with its action: `*/}}` or `*/ -}}`");
        }
        Ok(())
    }

    /// Passes the end of an action, if this is one: where it was.
    fn right_delimiter(&mut self) -> Option<usize> {
        let rest = self.rest();
        let trims = rest.starts_with(SPACES)
            && rest[1..]
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(RIGHT));
        if !trims && !rest.starts_with(RIGHT) {
            return None;
        }
        let at = self.at;
        self.at += if trims { 2 } else { 0 } + RIGHT.len();
        if trims {
            self.skip_spaces();
        }
        Some(at)
    }

    fn action(&mut self, open: usize) -> Result<(), SyntaxError> {
        let mut depth = 0_u32;
        loop {
            let start = self.at;
            let before = self.tokens.len();
            if let Some(at) = self.right_delimiter() {
                if depth > 0 {
                    return error(start, "a `(` is not closed");
                }
                self.push(at, TokenKind::RightDelimiter);
                return Ok(());
            }
            let Some(next) = self.next() else {
                return error(open, "the action is not closed: `}}` is missing");
            };
            let kind = match next {
                next if is_space(next) => {
                    // The last space may belong to ` -}}`.
                    while self.peek().is_some_and(is_space) && !self.at_right_trim() {
                        self.next();
                    }
                    TokenKind::Space
                }
                '=' => TokenKind::Assign,
                ':' if self.accept("=") => TokenKind::Declare,
                ':' => return error(start, "expected `:=`"),
                '|' => TokenKind::Pipe,
                '"' => self.quoted(start, '"', "the string is not closed")?,
                '\'' => self.quoted(start, '\'', "the character is not closed")?,
                '`' => {
                    let Some(end) = self.rest().find('`') else {
                        return error(start, "the raw string is not closed");
                    };
                    self.at += end + 1;
                    TokenKind::Quoted(&self.text[start..self.at])
                }
                '$' => {
                    self.name()?;
                    TokenKind::Variable(&self.text[start..self.at])
                }
                '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => {
                    self.name()?;
                    match &self.text[start + 1..self.at] {
                        "" => TokenKind::Dot,
                        name => TokenKind::Field(name),
                    }
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = start;
                    self.number()?
                }
                next if is_alphanumeric(next) => {
                    self.name()?;
                    match &self.text[start..self.at] {
                        "true" => TokenKind::Bool(true),
                        "false" => TokenKind::Bool(false),
                        word => TokenKind::Identifier(word),
                    }
                }
                '(' => {
                    depth += 1;
                    TokenKind::LeftParenthesis
                }
                ')' if depth == 0 => return error(start, "there is no `(` for this `)`"),
                ')' => {
                    depth -= 1;
                    TokenKind::RightParenthesis
                }
                next if next.is_ascii_graphic() => TokenKind::Other(next),
                next => {
                    return error(
                        start,
                        format!("unexpected character {}", next.escape_default()),
                    );
                }
            };
            debug_assert_eq!(before, self.tokens.len());
            self.push(start, kind);
        }
    }

    fn at_right_trim(&self) -> bool {
        self.rest().starts_with(SPACES)
            && self.rest()[1..]
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(RIGHT))
    }

    /// The rest of a name, and what may follow one.
    fn name(&mut self) -> Result<(), SyntaxError> {
        self.take_while(is_alphanumeric);
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            Some(next) if is_space(next) => Ok(()),
            Some(_) if self.rest().starts_with(RIGHT) => Ok(()),
            Some(next) => error(
                self.at,
                format!("unexpected character {}", next.escape_default()),
            ),
        }
    }

    fn quoted(
        &mut self,
        start: usize,
        quote: char,
        message: &str,
    ) -> Result<TokenKind<'t>, SyntaxError> {
        loop {
            match self.next() {
                None | Some('\n') => return error(start, message),
                Some('\\') => match self.next() {
                    None | Some('\n') => return error(start, message),
                    Some(_) => {}
                },
                Some(next) if next == quote => {
                    let text = &self.text[start..self.at];
                    return Ok(match quote {
                        '"' => TokenKind::Quoted(text),
                        _ => TokenKind::Char(text),
                    });
                }
                Some(_) => {}
            }
        }
    }

    fn number(&mut self) -> Result<TokenKind<'t>, SyntaxError> {
        let start = self.at;
        self.accept("+-");
        let (mut digits, mut exponent) = ("0123456789_", "eE");
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.take_while(|next| digits.contains(next));
        if self.accept(".") {
            self.take_while(|next| digits.contains(next));
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.take_while(|next| "0123456789_".contains(next));
        }
        if self
            .peek()
            .is_some_and(|next| is_alphanumeric(next) || "+-".contains(next))
        {
            return error(start, "not a number (complex ones are not supported)");
        }
        Ok(TokenKind::Number(&self.text[start..self.at]))
    }
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_left_trim(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|text| text.starts_with(SPACES))
}
