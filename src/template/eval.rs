//! Renders a parsed template for one event, as Go's `text/template` (1.26) executes one.

use super::context::Context;
use super::failure::{Failure, Result};
use super::function::{Arguments, Function, Param, checked, constant};
use super::literal::Number;
use super::object::{Method, Object};
use super::parse::{Branch, Command, Node, Operand, OperandKind, Pipeline, Tree};
use super::print;
use super::value::{IntType, TimeType, Value};

/// The state of a rendering.
struct Evaluator<'t, 'e> {
    tree: &'t Tree,
    context: &'t Context<'e>,
    /// The innermost last.
    variables: Vec<(&'t str, Value<'e>)>,
    /// How many nodes, parentheses and templates are around.
    depth: usize,
    to: Vec<u8>,
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    Through,
    Break,
    Continue,
}

/// Deeper and the stack might not do: nodes, parentheses and templates inside of each other.
const MAX_DEPTH: usize = 250;

/// Renders `tree`.
pub(super) fn render(tree: &Tree, context: &Context<'_>) -> Result<Vec<u8>> {
    let dot = Value::Object(Object::event(context.event));
    let mut evaluator = Evaluator {
        tree,
        context,
        variables: vec![("$", dot.clone())],
        depth: 0,
        to: Vec::new(),
    };
    evaluator.nodes(&tree.root, &dot)?;
    context.check_limits()?;
    Ok(evaluator.to)
}

// === impl Evaluator ===

impl<'t, 'e> Evaluator<'t, 'e> {
    /// Fails if `inner` would be nested too deeply.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.context.exceed("templates are nested too deeply"));
        }
        self.depth += 1;
        let done = inner(self);
        self.depth -= 1;
        done
    }

    /// Forgets the variables that `inner` declares.
    fn scoped<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let variables = self.variables.len();
        let done = self.deeper(inner);
        self.variables.truncate(variables);
        done
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Value<'e>) -> Result<Flow> {
        for node in nodes {
            self.context.spend(1)?;
            match node {
                Node::Text(text) => {
                    self.context.spend_bytes(text.len())?;
                    self.to.extend_from_slice(text.as_bytes());
                    self.context.check_length(self.to.len())?;
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        print::append_action(&value, self.context, &mut self.to)
                            .and_then(|()| self.context.check_length(self.to.len()))
                            .map_err(|failure| failure.or_at(pipeline.at))?;
                    }
                }
                Node::If(branch) => match self.branch(branch, dot, false)? {
                    Flow::Through => {}
                    flow => return Ok(flow),
                },
                Node::With(branch) => match self.branch(branch, dot, true)? {
                    Flow::Through => {}
                    flow => return Ok(flow),
                },
                Node::Range(branch) => match self.range(branch, dot)? {
                    Flow::Through => {}
                    flow => return Ok(flow),
                },
                Node::Template { at, name, data } => {
                    self.template(*at, name, data.as_ref(), dot)?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Through)
    }

    fn branch(&mut self, branch: &'t Branch, dot: &Value<'e>, with: bool) -> Result<Flow> {
        self.scoped(|this| {
            let value = this.pipeline(&branch.pipeline, dot)?;
            if value.is_true() {
                this.nodes(&branch.then, if with { &value } else { dot })
            } else {
                this.nodes(&branch.otherwise, dot)
            }
        })
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value<'e>) -> Result<Flow> {
        self.scoped(|this| {
            let at = branch.pipeline.at;
            let value = this.pipeline(&branch.pipeline, dot)?;
            let value = value.pointed().cloned().unwrap_or(value);
            let mut any = false;
            match &value {
                Value::Missing | Value::Nil => {}
                Value::Int(..) if branch.pipeline.variables.len() > 1 => {
                    let message = "a number gives `range` one variable, not two";
                    return Err(Failure::new(message).or_at(at));
                }
                Value::Int(count, kind) => {
                    for number in 0..*count {
                        any = true;
                        let item = Value::Int(number, *kind);
                        if this.iterate(branch, Value::Nil, &item)? == Flow::Break {
                            break;
                        }
                    }
                }
                Value::List(list) => {
                    for (index, item) in list.values.iter().enumerate() {
                        any = true;
                        let index = Value::count(index);
                        if this.iterate(branch, index, item)? == Flow::Break {
                            break;
                        }
                    }
                }
                Value::Dict(dict) => {
                    for (key, item) in dict.entries() {
                        any = true;
                        if this.iterate(branch, Value::text(key), &item)? == Flow::Break {
                            break;
                        }
                    }
                }
                Value::Strings(strings) => {
                    for (key, item) in strings.entries() {
                        any = true;
                        let (key, item) = (Value::text(key), Value::text(item));
                        if this.iterate(branch, key, &item)? == Flow::Break {
                            break;
                        }
                    }
                }
                value => {
                    let message = format!("`range` can't go over a {}", value.type_name());
                    return Err(Failure::new(message).or_at(at));
                }
            }
            if any {
                return Ok(Flow::Through);
            }
            this.nodes(&branch.otherwise, dot)
        })
    }

    fn iterate(&mut self, branch: &'t Branch, index: Value<'e>, item: &Value<'e>) -> Result<Flow> {
        self.context.spend(1)?;
        let pipeline = &branch.pipeline;
        let values = match pipeline.variables.len() {
            0 => Vec::new(),
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        if pipeline.assigns {
            for (name, value) in pipeline.variables.iter().zip(values) {
                self.assign(name, value)
                    .map_err(|failure| failure.or_at(pipeline.at))?;
            }
        } else {
            // They are the last, declared by the pipeline.
            let first = self.variables.len() - pipeline.variables.len();
            for (variable, value) in self.variables[first..].iter_mut().zip(values) {
                variable.1 = value;
            }
        }
        let variables = self.variables.len();
        let flow = self.nodes(&branch.then, item);
        self.variables.truncate(variables);
        flow
    }

    fn template(
        &mut self,
        at: usize,
        name: &'t str,
        data: Option<&'t Pipeline>,
        dot: &Value<'e>,
    ) -> Result<()> {
        let Some(nodes) = self.tree.defined.get(name) else {
            let failure = Failure::new(format!("there is no template `{name}`"));
            return Err(failure.certain().or_at(at));
        };
        let dot = match data {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let done = self.deeper(|this| this.nodes(nodes, &dot));
        self.variables = variables;
        // The parser lets no `break` out of a template.
        done.map(|_| ()).map_err(|failure| failure.or_at(at))
    }

    fn assign(&mut self, name: &str, value: Value<'e>) -> Result<()> {
        let variable = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == name);
        match variable {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => Err(Failure::new(format!("there is no variable `{name}`"))),
        }
    }

    fn variable(&self, name: &str) -> Result<&Value<'e>> {
        let variable = self
            .variables
            .iter()
            .rev()
            .find(|(known, _)| *known == name);
        variable
            .map(|(_, value)| value)
            .ok_or_else(|| Failure::new(format!("there is no variable `{name}`")))
    }

    fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &Value<'e>) -> Result<Value<'e>> {
        let mut value = None;
        for command in &pipeline.commands {
            let piped = value.take();
            let result = self
                .command(command, piped, dot)
                .map_err(|failure| failure.or_at(command.first.at))?;
            // Nothing is what is not there from here on, wherever it comes from.
            value = Some(match result {
                Value::Nil => Value::Missing,
                result => result,
            });
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone())
                    .map_err(|failure| failure.or_at(pipeline.at))?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'t Command,
        piped: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        let arguments = &command.arguments;
        let has_arguments = !arguments.is_empty() || piped.is_some();
        match &command.first.kind {
            OperandKind::Field(path) => self.chain(dot.clone(), path, arguments, piped, dot),
            OperandKind::Chain(inner, path) => {
                let value = self.operand(inner, dot)?;
                self.chain(value, path, arguments, piped, dot)
            }
            OperandKind::Variable(name, path) if !path.is_empty() => {
                let value = self.variable(name)?.clone();
                self.chain(value, path, arguments, piped, dot)
            }
            OperandKind::Function(function) => self.call(function, None, arguments, piped, dot),
            _ if has_arguments => Err(Failure::new("arguments for what is no function").certain()),
            OperandKind::Nil => Err(Failure::new("nil is no command").certain()),
            _ => self.operand(&command.first, dot),
        }
    }

    /// What stands for itself, or as an argument.
    fn operand(&mut self, operand: &'t Operand, dot: &Value<'e>) -> Result<Value<'e>> {
        self.context.spend(1)?;
        let value = match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Number(number) => constant(*number),
            OperandKind::Text(text) => Ok(Value::text(text.clone())),
            OperandKind::Field(path) => self.chain(dot.clone(), path, &[], None, dot),
            OperandKind::Variable(name, path) => {
                let value = self.variable(name)?.clone();
                self.chain(value, path, &[], None, dot)
            }
            OperandKind::Chain(inner, path) => {
                let value = self.operand(inner, dot)?;
                self.chain(value, path, &[], None, dot)
            }
            OperandKind::Function(function) => self.call(function, None, &[], None, dot),
            OperandKind::Pipeline(pipeline) => self.deeper(|this| this.pipeline(pipeline, dot)),
        };
        value.map_err(|failure| failure.or_at(operand.at))
    }

    /// Follows fields; the arguments are for the last of them.
    fn chain(
        &mut self,
        value: Value<'e>,
        path: &'t [String],
        arguments: &'t [Operand],
        piped: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        let Some((last, path)) = path.split_last() else {
            return Ok(value);
        };
        let mut value = value;
        for name in path {
            value = self.member(value, name, &[], None, dot)?;
        }
        self.member(value, last, arguments, piped, dot)
    }

    /// A method, a field, or an entry of a map.
    fn member(
        &mut self,
        value: Value<'e>,
        name: &str,
        arguments: &'t [Operand],
        piped: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        let unknown = |value: &Value<'_>, near: Option<&str>| {
            let hint = near.map(|near| format!("; did you mean `{near}`?"));
            let hint = hint.unwrap_or_default();
            Failure::new(format!(
                "there is no field `{name}` in a {}{hint}",
                value.type_name()
            ))
        };
        let has_arguments = !arguments.is_empty() || piped.is_some();
        let no_function = || Failure::new(format!("`{name}` is no method, and has arguments"));
        match value.method(name, self.context)? {
            Some(Method::Called(_)) if has_arguments => {
                return Err(Failure::new(format!("`{name}` takes no arguments")).certain());
            }
            Some(Method::Called(result)) => return Ok(result),
            Some(Method::Function(method)) => {
                return self.call(method, Some(value), arguments, piped, dot);
            }
            None => {}
        }
        let found = match &value {
            Value::Missing => return Ok(Value::Missing),
            Value::Nil => {
                return Err(Failure::new(format!("`{name}` of nothing")));
            }
            Value::Object(object) => object
                .field(name)?
                .ok_or_else(|| unknown(&value, object.near(name)).certain())?,
            Value::Dict(dict) => dict.get(name.as_bytes()).unwrap_or(Value::Missing),
            Value::Strings(strings) => strings
                .get(name.as_bytes())
                .map_or(Value::Missing, Value::text),
            Value::Time(time, TimeType::Api | TimeType::Micro) if name == "Time" => {
                Value::Time(time.clone(), TimeType::Std)
            }
            Value::Pointer(_, Some(target)) => {
                let target = (**target).clone();
                return self.member(target, name, arguments, piped, dot);
            }
            Value::Pointer(_, None) => {
                let message = format!("`{name}` of a {} that is nil", value.type_name());
                return Err(Failure::new(message));
            }
            // No event makes anything else of it.
            value @ Value::Time(..) => return Err(unknown(value, None).certain()),
            value => return Err(unknown(value, None)),
        };
        if has_arguments {
            return Err(no_function());
        }
        Ok(found)
    }

    /// Calls a function, or a method with its receiver.
    fn call(
        &mut self,
        function: &'static Function,
        receiver: Option<Value<'e>>,
        arguments: &'t [Operand],
        piped: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        let name = function.name;
        let given = arguments.len() + usize::from(piped.is_some());
        function.check_count(given)?;
        if matches!(name, "and" | "or") && receiver.is_none() {
            return self.and_or(name == "or", arguments, piped, dot);
        }
        let mut values = Vec::with_capacity(given + 1);
        values.extend(receiver);
        for (at, argument) in arguments.iter().enumerate() {
            let param = function.param(at);
            let value = self.argument(argument, param, dot);
            values.push(value.map_err(|failure| failure.or_at(argument.at))?);
        }
        if let Some(value) = piped {
            values.push(checked(value, function.param(arguments.len()))?);
        }
        for value in &values {
            self.context.spend_value(value)?;
        }
        let result =
            (function.call)(self.context, Arguments(values)).map_err(|failure| Failure {
                message: format!("{name}: {}", failure.message).into(),
                ..failure
            })?;
        self.context.spend_value(&result)?;
        Ok(result)
    }

    /// `and` and `or` give the first argument that decides, and look at no other after it.
    fn and_or(
        &mut self,
        decides: bool,
        arguments: &'t [Operand],
        piped: Option<Value<'e>>,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.operand(argument, dot)?;
            if value.is_true() == decides {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn argument(
        &mut self,
        operand: &'t Operand,
        param: Param,
        dot: &Value<'e>,
    ) -> Result<Value<'e>> {
        // What stands in the template is the same for every event.
        let found =
            |what: &str| Failure::new(format!("expected {}, found {what}", param.name())).certain();
        let is_number = |number: &Number| match (param, number.int) {
            (Param::Int, Some(int)) => Ok(Value::int(int)),
            (Param::Duration, Some(int)) => Ok(Value::Int(int, IntType::Duration)),
            (Param::Float, _) => Ok(Value::Float(number.float)),
            (Param::Any, _) => constant(*number),
            _ => Err(found("a number")),
        };
        match &operand.kind {
            OperandKind::Number(number) => is_number(number),
            OperandKind::Text(text) => match param {
                Param::Any | Param::Text => Ok(Value::text(text.clone())),
                _ => Err(found("a string")),
            },
            OperandKind::Bool(value) => match param {
                Param::Any | Param::Bool => Ok(Value::Bool(*value)),
                _ => Err(found("true or false")),
            },
            _ => {
                let value = self.operand(operand, dot)?;
                checked(value, param)
            }
        }
    }
}
