//! Pipelines: values, calls, and the variables that get them.

use super::super::function;
use super::super::lex::{TokenKind, error};
use super::super::literal::{character, number, unquote};
use super::{Command, KEYWORDS, Operand, OperandKind, Parser, Pipeline, Result};

// === impl Parser ===

impl<'t> Parser<'t> {
    /// What stands in an action, up to `end`.
    pub(super) fn pipeline(&mut self, place: &str, end: TokenKind<'t>) -> Result<Pipeline> {
        self.skip_space();
        let mut pipeline = Pipeline {
            at: self.at(),
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(place, &mut pipeline)?;
        loop {
            match self.peek_word() {
                token if token == end => break,
                TokenKind::Bool(_)
                | TokenKind::Char(_)
                | TokenKind::Number(_)
                | TokenKind::Dot
                | TokenKind::Field(_)
                | TokenKind::Identifier(_)
                | TokenKind::Quoted(_)
                | TokenKind::Variable(_)
                | TokenKind::LeftParenthesis => {
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => return self.unexpected(place),
            }
        }
        if pipeline.commands.is_empty() {
            return error(self.at(), format!("a value is missing in {place}"));
        }
        for command in &pipeline.commands[1..] {
            if matches!(
                command.first.kind,
                OperandKind::Bool(_)
                    | OperandKind::Dot
                    | OperandKind::Nil
                    | OperandKind::Number(_)
                    | OperandKind::Text(_)
            ) {
                return error(command.first.at, "a `|` leads to what is no function");
            }
        }
        self.next += 1;
        Ok(pipeline)
    }

    fn declarations(&mut self, place: &str, pipeline: &mut Pipeline) -> Result<()> {
        while let TokenKind::Variable(name) = self.peek_word() {
            let back = self.next;
            self.next += 1;
            match self.peek_word() {
                token @ (TokenKind::Assign | TokenKind::Declare) => {
                    self.next += 1;
                    pipeline.assigns = token == TokenKind::Assign;
                    pipeline.variables.push(name.to_owned());
                    self.variables.push(name.to_owned());
                    return Ok(());
                }
                TokenKind::Other(',') => {
                    self.next += 1;
                    pipeline.variables.push(name.to_owned());
                    self.variables.push(name.to_owned());
                    if place != "range" || pipeline.variables.len() == 2 {
                        return error(self.at(), format!("too many variables in {place}"));
                    }
                    if !matches!(
                        self.peek_word(),
                        TokenKind::Variable(_)
                            | TokenKind::RightDelimiter
                            | TokenKind::RightParenthesis
                    ) {
                        return error(self.at(), "`range` can only declare variables");
                    }
                }
                _ => {
                    self.next = back;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            match self.peek() {
                TokenKind::Space => {}
                TokenKind::RightDelimiter | TokenKind::RightParenthesis => break,
                TokenKind::Pipe => {
                    self.next += 1;
                    break;
                }
                _ => return self.unexpected("an operand"),
            }
        }
        let mut operands = operands.into_iter();
        let Some(first) = operands.next() else {
            return error(self.at(), "a command is missing");
        };
        Ok(Command {
            first,
            arguments: operands.collect(),
        })
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let at = self.at();
        let Some(kind) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        while let TokenKind::Field(name) = self.peek() {
            self.next += 1;
            fields.push(name.to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(Operand { at, kind }));
        }
        let kind = match kind {
            OperandKind::Field(mut path) => {
                path.append(&mut fields);
                OperandKind::Field(path)
            }
            OperandKind::Variable(name, mut path) => {
                path.append(&mut fields);
                OperandKind::Variable(name, path)
            }
            OperandKind::Function(_) | OperandKind::Pipeline(_) | OperandKind::Chain(..) => {
                OperandKind::Chain(Box::new(Operand { at, kind }), fields)
            }
            OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Bool(_)
            | OperandKind::Number(_)
            | OperandKind::Text(_) => return error(at, "a constant has no fields"),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result<Option<OperandKind>> {
        let at = self.at();
        let kind = match self.peek() {
            TokenKind::Identifier("nil") => OperandKind::Nil,
            TokenKind::Identifier(word) if KEYWORDS.contains(&word) => return Ok(None),
            TokenKind::Identifier(name) => match function::find(name) {
                Ok(function) => OperandKind::Function(function),
                Err(message) => return error(at, message),
            },
            TokenKind::Dot => OperandKind::Dot,
            TokenKind::Variable(name) => {
                if !self.variables.iter().any(|variable| variable == name) {
                    return error(at, format!("there is no variable `{name}`"));
                }
                OperandKind::Variable(name.to_owned(), Vec::new())
            }
            TokenKind::Field(name) => OperandKind::Field(vec![name.to_owned()]),
            TokenKind::Bool(value) => OperandKind::Bool(value),
            TokenKind::Char(text) => {
                OperandKind::Number(character(text).map_or_else(|message| error(at, message), Ok)?)
            }
            TokenKind::Number(text) => {
                OperandKind::Number(number(text).map_or_else(|message| error(at, message), Ok)?)
            }
            TokenKind::Quoted(text) => {
                OperandKind::Text(unquote(text).map_or_else(|message| error(at, message), Ok)?)
            }
            TokenKind::LeftParenthesis => {
                self.next += 1;
                let inner =
                    |parser: &mut Self| parser.pipeline("parentheses", TokenKind::RightParenthesis);
                return self.deeper(inner).map(OperandKind::Pipeline).map(Some);
            }
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(kind))
    }
}
