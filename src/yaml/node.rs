//! The tree that a YAML text describes, aliases and merge keys resolved.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::de::Context;
use super::{Position, Problem};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub position: Position,
    pub kind: Kind,
    /// How many nodes it is, aliases counted as often as they are used.
    size: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `plain` is what may be something other than a string.
    Scalar {
        text: String,
        plain: bool,
    },
    /// `None` is an element that was [pruned](Node::prune): the others keep their numbers.
    List(Vec<Option<Rc<Node>>>),
    Map(Vec<Entry>),
}

/// One step on the way from the root to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub position: Position,
    pub value: Rc<Node>,
}

/// More than any configuration has; what aliases of aliases can grow to.
const MAX_NODES: usize = 100_000;
const MAX_DEPTH: usize = 128;

/// Reads the first document. An empty one is an empty map.
pub(super) fn compose(text: &str, context: &Context<'_>) -> Result<Node, Problem> {
    let options = granit_parser::options! { emit_unresolved_aliases: true };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut composer = Composer {
        text,
        context,
        parser,
        path: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let root = loop {
        match composer.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd, _) => break None,
            (event, span) => break Some(composer.node(event, span, 0)?),
        }
    };
    let Some(root) = root else {
        return Ok(Node {
            position: Position { line: 1, column: 1 },
            kind: Kind::Map(Vec::new()),
            size: 1,
        });
    };
    composer.next()?;
    match composer.next() {
        // Whatever is in a further document is not read, and may be anything.
        Ok((Event::DocumentStart(..), span)) => context.warn(Problem {
            path: String::new(),
            position: position(span),
            message: "a second YAML document begins here; only the first is read".to_owned(),
        }),
        Err(problem) if matches!(root.kind, Kind::Map(_)) => {
            let Position { line, column } = root.position;
            let first = text.lines().nth(line - 1).unwrap_or_default();
            let is_flow = first.chars().nth(column - 1) == Some('{');
            return Err(Problem {
                message: if is_flow {
                    "this stands behind the closing brace of the mapping that is the file"
                        .to_owned()
                } else {
                    format!(
                        "this is not part of the mapping that the file begins with, whose keys stand in column {column}: check the indentation"
                    )
                },
                ..problem
            });
        }
        // The end, or whatever else the file is, it is no mapping.
        Ok(_) | Err(_) => {}
    }
    match root.kind {
        Kind::Map(_) => Ok(Rc::unwrap_or_clone(root)),
        Kind::Scalar {
            ref text,
            plain: true,
        } if is_null(text) => Ok(Node {
            position: root.position,
            kind: Kind::Map(Vec::new()),
            size: 1,
        }),
        _ => Err(Problem {
            path: String::new(),
            position: root.position,
            message: "the file must be a mapping, of keys like `route:` and `receivers:`"
                .to_owned(),
        }),
    }
}

// === impl Node ===

impl Node {
    /// Takes the node at the end of `steps` out, so that what is around it can be read. False if it can't be.
    pub(super) fn prune(&mut self, steps: &[Step]) -> bool {
        let Some((step, rest)) = steps.split_first() else {
            return false;
        };
        match (&mut self.kind, step) {
            (Kind::Map(entries), Step::Key(key)) => {
                let Some(at) = entries.iter().position(|entry| entry.key == *key) else {
                    return false;
                };
                if !rest.is_empty() {
                    return Rc::make_mut(&mut entries[at].value).prune(rest);
                }
                entries.remove(at);
                true
            }
            (Kind::List(nodes), Step::Index(at)) => match nodes.get_mut(*at) {
                Some(Some(node)) if !rest.is_empty() => Rc::make_mut(node).prune(rest),
                Some(node) => node.take().is_some(),
                None => false,
            },
            _ => false,
        }
    }
}

/// Whether a plain scalar stands for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

struct Composer<'t, 'c> {
    text: &'t str,
    context: &'c Context<'c>,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    /// The way to the node that is being read.
    path: Vec<Step>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
}

impl<'t> Composer<'t, '_> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        let next = loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                next => break next,
            }
        };
        match next {
            Some(Ok(read)) => Ok(read),
            Some(Err(error)) => {
                let marker = error.marker();
                let position = Position {
                    line: marker.line(),
                    column: marker.col() + 1,
                };
                let line = self
                    .text
                    .lines()
                    .nth(marker.line().saturating_sub(1))
                    .unwrap_or_default();
                let hint = if line.contains("{{") {
                    "; values with {{ }} must be quoted: \"{{ .Message }}\""
                } else {
                    ""
                };
                let what = error.kind().to_string();
                Err(Problem {
                    path: String::new(),
                    position,
                    message: format!("{what}{hint}"),
                })
            }
            None => Ok((
                Event::StreamEnd,
                Span::empty(granit_parser::Marker::new(0, 1, 0)),
            )),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Rc<Node>, Problem> {
        let position = position(span);
        let problem = |message: String| Problem {
            path: String::new(),
            position,
            message,
        };
        if depth > MAX_DEPTH {
            return Err(problem(format!("nested more than {MAX_DEPTH} deep")));
        }
        let (kind, anchor, size) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let string = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let plain = style == ScalarStyle::Plain && !string;
                (
                    Kind::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                    anchor,
                    1,
                )
            }
            Event::SequenceStart(_, anchor, _) => {
                let (mut list, mut size) = (Vec::new(), 1);
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => {
                            self.path.push(Step::Index(list.len()));
                            let node = self.node(event, span, depth + 1)?;
                            self.path.pop();
                            size += node.size;
                            list.push(Some(node));
                        }
                    }
                }
                (Kind::List(list), anchor, size)
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, size) = self.map(position, depth)?;
                (Kind::Map(entries), anchor, size)
            }
            Event::Alias(id) => {
                // An anchor that contains its own alias is not there yet.
                let node = self
                    .anchors
                    .get(&id)
                    .ok_or_else(|| problem("an alias of itself".to_owned()))?;
                let node = Rc::clone(node);
                self.count(node.size, position)?;
                return Ok(node);
            }
            Event::UnresolvedAlias(name) => {
                self.context.unknown_value(Problem {
                    path: show(&self.path),
                    ..problem(format!(
                        "`*{name}` is an alias of YAML that is not defined; quote it (\"*{name}\") if a pattern is meant"
                    ))
                });
                let nothing = Kind::Scalar {
                    text: String::new(),
                    plain: true,
                };
                (nothing, 0, 1)
            }
            _ => return Err(problem("this cannot stand here".to_owned())),
        };
        self.count(1, position)?;
        let node = Rc::new(Node {
            position,
            kind,
            size,
        });
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, position: Position) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message =
                format!("more than {MAX_NODES} values, aliases counted as often as they are used");
            return Err(Problem {
                path: String::new(),
                position,
                message,
            });
        }
        Ok(())
    }

    fn map(&mut self, start: Position, depth: usize) -> Result<(Vec<Entry>, usize), Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut merged: Vec<Rc<Node>> = Vec::new();
        let mut size = 1;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (name, plain) = match &key.kind {
                Kind::Scalar { text, plain } => (text.clone(), *plain),
                // `{{ .Message }}` without quotes is a map whose key is a map.
                Kind::Map(_) | Kind::List(_) => {
                    return Err(Problem {
                        path: String::new(),
                        position: start,
                        message: "values with {{ }} must be quoted: \"{{ .Message }}\"".to_owned(),
                    });
                }
            };
            let (event, span) = self.next()?;
            self.path.push(Step::Key(name.clone()));
            let value = self.node(event, span, depth + 1)?;
            self.path.pop();
            size += key.size + value.size;
            if name == "<<" && plain {
                merged.push(value);
                continue;
            }
            let entry = Entry {
                key: name,
                position: key.position,
                value,
            };
            if let Some(at) = known.get(&entry.key) {
                let line = entries[*at].position.line;
                self.path.push(Step::Key(entry.key.clone()));
                let path = show(&self.path);
                self.path.pop();
                self.context.warn(Problem {
                    path,
                    position: entry.position,
                    message: format!("given twice; the one on line {line} is ignored"),
                });
                entries[*at] = entry;
            } else {
                known.insert(entry.key.clone(), entries.len());
                entries.push(entry);
            }
        }
        for node in merged {
            merge(&node, &mut entries, true)?;
        }
        Ok((entries, size))
    }
}

/// Adds what is not there yet. A list of maps adds one after the other.
fn merge(node: &Node, entries: &mut Vec<Entry>, lists: bool) -> Result<(), Problem> {
    match &node.kind {
        Kind::Map(others) => {
            for other in others {
                if !entries.iter().any(|known| known.key == other.key) {
                    entries.push(other.clone());
                }
            }
            Ok(())
        }
        Kind::List(nodes) if lists => nodes
            .iter()
            .flatten()
            .try_for_each(|node| merge(node, entries, false)),
        _ => Err(Problem {
            path: "<<".to_owned(),
            position: node.position,
            message: "`<<` merges maps, and this is none".to_owned(),
        }),
    }
}

/// As in `route.match[0].kind`.
fn show(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
            Step::Index(at) => text.push_str(&format!("[{at}]")),
        }
    }
    text
}

fn position(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}
