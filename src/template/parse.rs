//! The tree of a template, as Go's `text/template/parse` builds it.

use std::collections::BTreeMap;

use super::function::Function;
use super::lex::{SyntaxError, Token, TokenKind, error, tokens};
use super::literal::{Number, unquote};

mod pipeline;

/// A template and those that it defines.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        at: usize,
        name: String,
        data: Option<Pipeline>,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) at: usize,
    /// Variables that get the value, with their `$`.
    pub(super) variables: Vec<String>,
    /// They exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// The first operand and its arguments; there is at least the first.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Vec<u8>),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    /// Fields of something in parentheses, or of a function's result.
    Chain(Box<Operand>, Vec<String>),
    Function(&'static Function),
    Pipeline(Pipeline),
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    variables: Vec<String>,
    /// How many `range` are around.
    ranges: usize,
    /// How many branches and parentheses are around.
    depth: usize,
    defined: BTreeMap<String, Vec<Node>>,
}

/// What ended a list of nodes.
#[derive(PartialEq)]
enum Ending {
    End,
    /// The rest of it, `if` or `with` or the end of the action, is next.
    Else,
}

/// Deeper nesting is refused: parser and evaluator recurse.
const MAX_DEPTH: usize = 100;
const KEYWORDS: [&str; 11] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with",
];

type Result<T> = std::result::Result<T, SyntaxError>;

/// Parses a template.
pub(super) fn parse(text: &str) -> Result<Tree> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        depth: 0,
        defined: BTreeMap::new(),
    };
    let root = parser.template()?;
    let defined = parser.defined;
    Ok(Tree { root, defined })
}

// === impl Parser ===

impl<'t> Parser<'t> {
    fn peek(&self) -> TokenKind<'t> {
        self.tokens
            .get(self.next)
            .map_or(TokenKind::End, |token| token.kind)
    }

    fn at(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.next.min(last))
            .map_or(0, |token| token.at)
    }

    fn take(&mut self) -> TokenKind<'t> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        if self.peek() == TokenKind::Space {
            self.next += 1;
        }
    }

    fn peek_word(&mut self) -> TokenKind<'t> {
        self.skip_space();
        self.peek()
    }

    fn unexpected<T>(&self, place: &str) -> Result<T> {
        let found = match self.peek() {
            TokenKind::Text(_) => "text".to_owned(),
            TokenKind::LeftDelimiter => "`{{`".to_owned(),
            TokenKind::RightDelimiter => "`}}`".to_owned(),
            TokenKind::LeftParenthesis => "`(`".to_owned(),
            TokenKind::RightParenthesis => "`)`".to_owned(),
            TokenKind::Space => "space".to_owned(),
            TokenKind::Pipe => "`|`".to_owned(),
            TokenKind::Assign => "`=`".to_owned(),
            TokenKind::Declare => "`:=`".to_owned(),
            TokenKind::Identifier(word) if KEYWORDS.contains(&word) => format!("`{word}`"),
            TokenKind::Other(c) => format!("`{c}`"),
            TokenKind::End => "end of the template".to_owned(),
            TokenKind::Bool(_)
            | TokenKind::Identifier(_)
            | TokenKind::Field(_)
            | TokenKind::Variable(_)
            | TokenKind::Dot
            | TokenKind::Char(_)
            | TokenKind::Number(_)
            | TokenKind::Quoted(_) => "value".to_owned(),
        };
        error(self.at(), format!("unexpected {found} in {place}"))
    }

    fn end_of_action(&mut self, place: &str) -> Result<()> {
        if self.peek_word() != TokenKind::RightDelimiter {
            return self.unexpected(place);
        }
        self.next += 1;
        Ok(())
    }

    /// Fails if `inner` would be nested too deeply.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return error(self.at(), "nested too deeply");
        }
        self.depth += 1;
        let done = inner(self);
        self.depth -= 1;
        done
    }

    fn template(&mut self) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek() != TokenKind::End {
            if self.starts_definition() {
                self.definition()?;
                continue;
            }
            let at = self.at();
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(Ending::End) => return error(at, "unexpected `end`"),
                Err(Ending::Else) => return error(at, "unexpected `else`"),
            }
        }
        Ok(nodes)
    }

    fn starts_definition(&self) -> bool {
        let kinds = self.tokens[self.next..].iter().map(|token| token.kind);
        let mut kinds = kinds.filter(|kind| *kind != TokenKind::Space);
        kinds.next() == Some(TokenKind::LeftDelimiter)
            && kinds.next() == Some(TokenKind::Identifier("define"))
    }

    fn definition(&mut self) -> Result<()> {
        const PLACE: &str = "`define`";
        self.next += 1;
        self.skip_space();
        self.next += 1;
        let name = self.template_name(PLACE)?;
        self.end_of_action(PLACE)?;
        let at = self.at();
        let nodes = self.own_scope(PLACE)?;
        self.define(at, name, nodes)
    }

    /// The nodes of another template: no variable and no `range` of this one is seen there.
    fn own_scope(&mut self, place: &str) -> Result<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, ending) = self.deeper(Self::list)?;
        if ending != Ending::End {
            return error(self.at(), format!("unexpected `else` in {place}"));
        }
        self.variables = variables;
        self.ranges = ranges;
        Ok(nodes)
    }

    fn define(&mut self, at: usize, name: String, nodes: Vec<Node>) -> Result<()> {
        match self.defined.get(&name) {
            Some(earlier) if !is_empty(earlier) => {
                if !is_empty(&nodes) {
                    return error(at, format!("the template `{name}` is defined twice"));
                }
            }
            _ => {
                self.defined.insert(name, nodes);
            }
        }
        Ok(())
    }

    fn template_name(&mut self, place: &str) -> Result<String> {
        self.skip_space();
        let TokenKind::Quoted(quoted) = self.peek() else {
            return self.unexpected(place);
        };
        let name = unquote(quoted).map_or_else(|message| error(self.at(), message), Ok)?;
        self.next += 1;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self) -> Result<(Vec<Node>, Ending)> {
        let mut nodes = Vec::new();
        while self.peek() != TokenKind::End {
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(ending) => return Ok((nodes, ending)),
            }
        }
        error(self.at(), "an `end` is missing")
    }

    fn node(&mut self) -> Result<std::result::Result<Node, Ending>> {
        if let TokenKind::Text(text) = self.peek() {
            self.next += 1;
            return Ok(Ok(Node::Text(text.to_owned())));
        }
        if self.peek() != TokenKind::LeftDelimiter {
            return self.unexpected("the template");
        }
        self.next += 1;
        let word = self.peek_word();
        let at = self.at();
        let TokenKind::Identifier(word) = word else {
            return self.action();
        };
        if KEYWORDS.contains(&word) && word != "nil" {
            self.next += 1;
        }
        Ok(Ok(match word {
            "if" => Node::If(self.branch("if")?),
            "with" => Node::With(self.branch("with")?),
            "range" => Node::Range(self.branch("range")?),
            "end" => {
                self.end_of_action("`end`")?;
                return Ok(Err(Ending::End));
            }
            "else" => {
                if !matches!(self.peek_word(), TokenKind::Identifier("if" | "with")) {
                    self.end_of_action("`else`")?;
                }
                return Ok(Err(Ending::Else));
            }
            "break" | "continue" => {
                self.end_of_action(word)?;
                if self.ranges == 0 {
                    return error(at, format!("`{word}` outside of `range`"));
                }
                if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                }
            }
            "template" => {
                let name = self.template_name("`template`")?;
                let data = if self.peek_word() == TokenKind::RightDelimiter {
                    self.next += 1;
                    None
                } else {
                    Some(self.pipeline("`template`", TokenKind::RightDelimiter)?)
                };
                Node::Template { at, name, data }
            }
            "block" => {
                let name = self.template_name("`block`")?;
                let data = Some(self.pipeline("`block`", TokenKind::RightDelimiter)?);
                let nodes = self.own_scope("`block`")?;
                self.define(at, name.clone(), nodes)?;
                Node::Template { at, name, data }
            }
            "define" => return error(at, "`define` must not stand inside of anything"),
            _ => return self.action(),
        }))
    }

    fn action(&mut self) -> Result<std::result::Result<Node, Ending>> {
        let pipeline = self.pipeline("an action", TokenKind::RightDelimiter)?;
        Ok(Ok(Node::Action(pipeline)))
    }

    fn branch(&mut self, word: &str) -> Result<Branch> {
        self.deeper(|parser| {
            let variables = parser.variables.len();
            let pipeline = parser.pipeline(word, TokenKind::RightDelimiter)?;
            parser.ranges += usize::from(word == "range");
            let (then, ending) = parser.list()?;
            parser.ranges -= usize::from(word == "range");
            let mut otherwise = Vec::new();
            if ending == Ending::Else {
                match parser.peek() {
                    TokenKind::Identifier("if") if word == "if" => {
                        parser.next += 1;
                        otherwise.push(Node::If(parser.branch("if")?));
                    }
                    TokenKind::Identifier("with") if word == "with" => {
                        parser.next += 1;
                        otherwise.push(Node::With(parser.branch("with")?));
                    }
                    TokenKind::Identifier("if" | "with") => return parser.unexpected("`else`"),
                    _ => {
                        let (nodes, ending) = parser.list()?;
                        if ending != Ending::End {
                            return error(parser.at(), "a second `else`");
                        }
                        otherwise = nodes;
                    }
                }
            }
            parser.variables.truncate(variables);
            Ok(Branch {
                pipeline,
                then,
                otherwise,
            })
        })
    }
}

/// Whether a template would print nothing but space.
fn is_empty(nodes: &[Node]) -> bool {
    nodes
        .iter()
        .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
