//! Whether a template reads what a lookup of the involved object adds: its labels, annotations, owners, and whether it is
//! gone. Told from the tree alone, before any event; where that is not certain, it does.

use super::parse::{Branch, Node, Operand, OperandKind, Pipeline, Tree};

/// What a value is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Event,
    InvolvedObject,
    Other,
}

struct Reader<'t> {
    tree: &'t Tree,
    /// The innermost last.
    variables: Vec<(&'t str, Is)>,
    /// Templates that were read, or are waiting to be, by what their dot is.
    known: Vec<(&'t str, Is)>,
    /// Those that are waiting.
    waiting: Vec<(&'t [Node], Is)>,
    reads: bool,
}

/// What a lookup adds to the involved object.
const LOOKED_UP: [&str; 4] = ["Labels", "Annotations", "OwnerReferences", "Deleted"];

/// Whether `tree` reads it.
pub(super) fn reads_object(tree: &Tree) -> bool {
    let mut reader = Reader {
        tree,
        variables: vec![("$", Is::Event)],
        known: Vec::new(),
        waiting: Vec::new(),
        reads: false,
    };
    reader.nodes(&tree.root, Is::Event);
    // One after the other, and each once: they may call each other in circles.
    while let Some((nodes, dot)) = reader.waiting.pop() {
        reader.variables = vec![("$", dot)];
        reader.nodes(nodes, dot);
    }
    reader.reads
}

// === impl Reader ===

impl<'t> Reader<'t> {
    fn nodes(&mut self, nodes: &'t [Node], dot: Is) {
        for node in nodes {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipeline) => {
                    let printed = self.pipeline(pipeline, dot);
                    if pipeline.variables.is_empty() {
                        self.uses(printed);
                    }
                }
                Node::If(branch) => self.branch(branch, dot, |_| None),
                Node::With(branch) => self.branch(branch, dot, Some),
                // Neither the event nor the object can be gone over.
                Node::Range(branch) => self.branch(branch, dot, |_| Some(Is::Other)),
                Node::Template { name, data, .. } => {
                    let dot = match data {
                        Some(pipeline) => self.pipeline(pipeline, dot),
                        None => Is::Other,
                    };
                    self.template(name, dot);
                }
            }
        }
    }

    /// `rebinds` says what the dot is inside, if another.
    fn branch(&mut self, branch: &'t Branch, dot: Is, rebinds: fn(Is) -> Option<Is>) {
        let variables = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot);
        self.nodes(&branch.then, rebinds(value).unwrap_or(dot));
        self.nodes(&branch.otherwise, dot);
        self.variables.truncate(variables);
    }

    fn template(&mut self, name: &'t str, dot: Is) {
        if self.known.contains(&(name, dot)) {
            return;
        }
        self.known.push((name, dot));
        if let Some(nodes) = self.tree.defined.get(name) {
            self.waiting.push((nodes, dot));
        }
    }

    fn pipeline(&mut self, pipeline: &'t Pipeline, dot: Is) -> Is {
        let value = match pipeline.commands.as_slice() {
            [command] if command.arguments.is_empty() => self.operand(&command.first, dot),
            commands => {
                for command in commands {
                    for operand in std::iter::once(&command.first).chain(&command.arguments) {
                        let used = self.operand(operand, dot);
                        self.uses(used);
                    }
                }
                Is::Other
            }
        };
        for name in &pipeline.variables {
            if pipeline.assigns {
                // Which of the values it has where it is read is not certain.
                self.uses(value);
            } else {
                self.variables.push((name, value));
            }
        }
        value
    }

    fn operand(&mut self, operand: &'t Operand, dot: Is) -> Is {
        match &operand.kind {
            OperandKind::Dot => dot,
            OperandKind::Field(path) => self.path(dot, path),
            OperandKind::Variable(name, path) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map_or(Is::Other, |(_, value)| *value);
                self.path(value, path)
            }
            OperandKind::Chain(inner, path) => {
                let value = self.operand(inner, dot);
                self.path(value, path)
            }
            OperandKind::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            OperandKind::Nil
            | OperandKind::Bool(_)
            | OperandKind::Number(_)
            | OperandKind::Text(_)
            | OperandKind::Function(_) => Is::Other,
        }
    }

    fn path(&mut self, from: Is, path: &[String]) -> Is {
        let mut value = from;
        for name in path {
            value = match (value, name.as_str()) {
                (Is::Event, "InvolvedObject") => Is::InvolvedObject,
                (Is::Event, "DeDot") => Is::Event,
                (Is::Event, "ToJSON") => {
                    self.reads = true;
                    Is::Other
                }
                (Is::InvolvedObject, name) if LOOKED_UP.contains(&name) => {
                    self.reads = true;
                    Is::Other
                }
                _ => Is::Other,
            };
        }
        value
    }

    /// Something is printed, or goes into a function, as a whole.
    fn uses(&mut self, value: Is) {
        self.reads |= value != Is::Other;
    }
}
