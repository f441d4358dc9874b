//! The methods that templates can call.
//!
//! Those that change what they are called on, or give two results, cannot be called in Go's templates either, and are
//! not here.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "functions in tables are all of one type"
)]

use super::super::context::Context;
use super::super::failure::Result;
use super::super::function::{Arguments, Function, Param};
use super::super::print;
use super::super::time::GoTime;
use super::super::value::{Element, IntType, Pointee, TimeType, Value};
use super::super::version;
use super::{Held, Kind, Object};

/// What a name leads to.
pub(in super::super) enum Method<'e> {
    /// A method without parameters, called.
    Called(Value<'e>),
    /// A method, to be called with the value as its first argument, before those that it declares.
    Function(&'static Function),
}

// === impl Value ===

impl<'e> Value<'e> {
    /// The method of that name, if there is one.
    pub(in super::super) fn method(
        &self,
        name: &str,
        context: &Context<'e>,
    ) -> Result<Option<Method<'e>>> {
        let table: &[Function] = match self {
            Self::Object(object) => {
                return Ok(object.method(name, context)?.map(Method::Called));
            }
            Self::Time(_, TimeType::Std) => TIME,
            Self::Time(_, kind) => {
                let own = if *kind == TimeType::Micro {
                    MICRO_TIME
                } else {
                    API_TIME
                };
                if let Some(method) = own.iter().find(|method| method.name == name) {
                    return Ok(Some(Method::Function(method)));
                }
                TIME
            }
            Self::Int(_, IntType::Duration) => DURATION,
            Self::Int(_, IntType::Month | IntType::Weekday) => NAMED,
            Self::Version(_) => version::METHODS,
            Self::Pointer(Pointee::Series | Pointee::Reference, None) if name == "String" => {
                return Ok(Some(Method::Called(Self::text("nil"))));
            }
            Self::Pointer(_, Some(target)) => return target.method(name, context),
            _ => return Ok(None),
        };
        let method = table.iter().find(|method| method.name == name);
        Ok(method.map(Method::Function))
    }
}

// === impl Object ===

impl<'e> Object<'e> {
    fn method(&self, name: &str, context: &Context<'e>) -> Result<Option<Value<'e>>> {
        if let (Kind::Event(event), "DeDot") = (self.kind, name) {
            let event = if std::ptr::eq(event, context.event) {
                let make = || super::super::without_dots(event);
                context.without_dots.get_or_init(make)
            } else {
                // It has none already.
                event
            };
            return Ok(Some(Value::Object(Self::event_copy(event))));
        }
        if let Kind::GroupVersionKind(kind) = self.kind {
            let empty = [kind.group, kind.version, kind.kind].concat().is_empty();
            return Ok(match name {
                "Empty" => Some(Value::Bool(empty)),
                "String" => Some(Value::text(self.go_string(context)?)),
                _ => None,
            });
        }
        if self.held == Held::Copy {
            return Ok(None);
        }
        Ok(match (self.kind, name) {
            (Kind::Event(event), "GetTimestampMs") => {
                Some(Value::int64(incumbent_time(event).unix_nanos() / 1_000_000))
            }
            (Kind::Event(event), "GetTimestampISO8601") => {
                let mut text = String::new();
                incumbent_time(event).format("2006-01-02T15:04:05.000Z", &mut text);
                Some(Value::text(text))
            }
            (Kind::Event(_), "ToJSON") => {
                let mut json = Vec::new();
                super::super::json::append(&Value::Object(*self), true, context, &mut json)?;
                context.spend(json.len())?;
                let bytes = json
                    .into_iter()
                    .map(|byte| Value::Int(byte.into(), IntType::Uint8));
                Some(Value::list_of(Element::Bytes, bytes.collect())?)
            }
            (Kind::Event(event) | Kind::ApiEvent(event), "DeepCopy") => Some(Value::Object(
                Self::new(Kind::ApiEvent(event), Held::Pointer),
            )),
            (Kind::InvolvedObject(object), "DeepCopy") => {
                let kind = Kind::Reference(object.into());
                Some(Value::Object(Self::new(kind, Held::Pointer)))
            }
            (_, "DeepCopy") => Some(Value::Object(self.pointer())),
            (_, "String") => Some(Value::text(self.go_string(context)?)),
            (Kind::Event(_) | Kind::ApiEvent(_) | Kind::ObjectMeta(_), getter) => {
                let field = getter
                    .strip_prefix("Get")
                    .filter(|field| IS_GOT.contains(field));
                match field {
                    Some(field) => self.field(field)?,
                    None if getter == "GroupVersionKind" => Some(Self::of_no_kind()),
                    None => None,
                }
            }
            (Kind::TypeMeta, "GroupVersionKind") => Some(Self::of_no_kind()),
            (Kind::InvolvedObject(object), "GroupVersionKind") => {
                Some(Self::group_version_kind(object.into()))
            }
            (Kind::Reference(reference), "GroupVersionKind") => {
                Some(Self::group_version_kind(reference))
            }
            _ => None,
        })
    }

    fn group_version_kind(reference: super::Reference<'e>) -> Value<'e> {
        let kind = Kind::GroupVersionKind(reference.group_version_kind());
        Value::Object(Self::new(kind, Held::Copy))
    }

    fn of_no_kind() -> Value<'e> {
        let kind = super::GroupVersionKind {
            group: "",
            version: "",
            kind: "",
        };
        Value::Object(Self::new(Kind::GroupVersionKind(kind), Held::Copy))
    }
}

/// Fields of the metadata that methods get.
const IS_GOT: [&str; 15] = [
    "Annotations",
    "CreationTimestamp",
    "DeletionGracePeriodSeconds",
    "DeletionTimestamp",
    "Finalizers",
    "GenerateName",
    "Generation",
    "Labels",
    "ManagedFields",
    "Name",
    "Namespace",
    "OwnerReferences",
    "ResourceVersion",
    "SelfLink",
    "UID",
];

/// The time that the incumbent takes for the event's: when it happened first.
fn incumbent_time(event: &crate::event::Event) -> GoTime {
    event
        .first_timestamp
        .or(event.event_time)
        .map_or(GoTime::ZERO, GoTime::from)
}

type Number = fn(&GoTime) -> i64;

/// For tables: a method of a time that counts something.
const fn of_time(name: &'static str, call: super::super::function::Call) -> Function {
    Function {
        name,
        params: &[],
        is_variadic: false,
        call,
    }
}

const fn with(
    name: &'static str,
    params: &'static [Param],
    call: super::super::function::Call,
) -> Function {
    Function {
        name,
        params,
        is_variadic: false,
        call,
    }
}

/// Methods of `time.Time`; those of the API's times, too.
const TIME: &[Function] = &[
    with("Add", &[Param::Duration], |_, args| {
        std_time(args.time(0).plus(args.int(1)))
    }),
    with(
        "AddDate",
        &[Param::Int, Param::Int, Param::Int],
        |_, args| {
            std_time(
                args.time(0)
                    .plus_date(args.int(1), args.int(2), args.int(3)),
            )
        },
    ),
    with("After", &[Param::Time], |_, args| {
        Ok(Value::Bool(args.time(0).order(args.time(1)).is_gt()))
    }),
    with("Before", &[Param::Time], is_before),
    with("Compare", &[Param::Time], |_, args| {
        let order = args.time(0).order(args.time(1)) as i64;
        Ok(Value::int(order))
    }),
    with("Equal", &[Param::Time], is_equal),
    with("Format", &[Param::Text], |_, args| {
        let mut text = String::new();
        args.time(0).format(&args.lossy(1), &mut text);
        Ok(Value::text(text))
    }),
    with("Round", &[Param::Duration], |_, args| {
        std_time(args.time(0).to_multiple(args.int(1), true))
    }),
    with("Sub", &[Param::Time], |_, args| {
        Ok(Value::Int(
            args.time(0).since(args.time(1)),
            IntType::Duration,
        ))
    }),
    with("Truncate", &[Param::Duration], |_, args| {
        std_time(args.time(0).to_multiple(args.int(1), false))
    }),
    of_time("Day", |_, args| number(&args, |time| time.civil().day)),
    of_time("Hour", |_, args| number(&args, |time| time.civil().hour)),
    of_time("IsZero", |_, args| Ok(Value::Bool(args.time(0).is_zero()))),
    of_time("Local", |_, args| std_time(args.time(0).utc())),
    of_time("Minute", |_, args| {
        number(&args, |time| time.civil().minute)
    }),
    of_time("Month", |_, args| {
        Ok(Value::Int(args.time(0).civil().month, IntType::Month))
    }),
    of_time("Nanosecond", |_, args| number(&args, GoTime::nanos)),
    of_time("Second", |_, args| {
        number(&args, |time| time.civil().second)
    }),
    of_time("String", to_string),
    of_time("UTC", |_, args| std_time(args.time(0).utc())),
    of_time("Unix", |_, args| Ok(Value::int64(args.time(0).seconds()))),
    of_time("UnixMicro", |_, args| {
        Ok(Value::int64(args.time(0).unix_in(1_000_000)))
    }),
    of_time("UnixMilli", |_, args| {
        Ok(Value::int64(args.time(0).unix_in(1_000)))
    }),
    of_time("UnixNano", |_, args| {
        Ok(Value::int64(args.time(0).unix_nanos()))
    }),
    of_time("Weekday", |_, args| {
        Ok(Value::Int(args.time(0).civil().weekday, IntType::Weekday))
    }),
    of_time("Year", |_, args| number(&args, |time| time.civil().year)),
    of_time("YearDay", |_, args| {
        number(&args, |time| time.civil().day_of_year)
    }),
];

/// What `v1.Time` does differently.
const API_TIME: &[Function] = &[
    with("Before", &[Param::ApiTime], is_before),
    with("Equal", &[Param::ApiTime], is_equal),
];

/// What `v1.MicroTime` does differently.
const MICRO_TIME: &[Function] = &[
    with("Before", &[Param::MicroTime], is_before),
    with("BeforeTime", &[Param::ApiTime], is_before),
    with("Equal", &[Param::MicroTime], is_equal),
    with("EqualTime", &[Param::ApiTime], is_equal),
];

/// Methods of `time.Duration`.
const DURATION: &[Function] = &[
    of_time("Abs", |_, args| duration(args.int(0).saturating_abs())),
    of_time("Hours", |_, args| seconds(&args, 3600)),
    of_time("Microseconds", |_, args| {
        Ok(Value::int64(args.int(0) / 1_000))
    }),
    of_time("Milliseconds", |_, args| {
        Ok(Value::int64(args.int(0) / 1_000_000))
    }),
    of_time("Minutes", |_, args| seconds(&args, 60)),
    of_time("Nanoseconds", |_, args| Ok(Value::int64(args.int(0)))),
    with("Round", &[Param::Duration], |_, args| {
        let (duration, unit) = (args.int(0), args.int(1));
        self::duration(match duration.checked_rem(unit) {
            Some(over) if unit > 0 => {
                let down = duration - over;
                if over.saturating_abs().saturating_mul(2) >= unit {
                    down.saturating_add(unit * duration.signum())
                } else {
                    down
                }
            }
            _ => duration,
        })
    }),
    of_time("Seconds", |_, args| seconds(&args, 1)),
    of_time("String", to_string),
    with("Truncate", &[Param::Duration], |_, args| {
        let (duration, unit) = (args.int(0), args.int(1));
        self::duration(match duration.checked_rem(unit) {
            Some(over) if unit > 0 => duration - over,
            _ => duration,
        })
    }),
];

/// Methods of months and weekdays.
const NAMED: &[Function] = &[of_time("String", to_string)];

fn std_time<'e>(time: GoTime) -> Result<Value<'e>> {
    Ok(Value::Time(time, TimeType::Std))
}

fn number<'e>(args: &Arguments<'e>, of: Number) -> Result<Value<'e>> {
    Ok(Value::int(of(args.time(0))))
}

fn duration<'e>(nanos: i64) -> Result<Value<'e>> {
    Ok(Value::Int(nanos, IntType::Duration))
}

#[expect(clippy::cast_precision_loss, reason = "as Go's float64")]
fn seconds<'e>(args: &Arguments<'e>, unit: i64) -> Result<Value<'e>> {
    // Whole units and the rest apart, so that no digit is lost.
    let (nanos, unit) = (args.int(0), unit * 1_000_000_000);
    Ok(Value::Float(
        (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64,
    ))
}

fn is_before<'e>(_: &Context<'e>, args: Arguments<'e>) -> Result<Value<'e>> {
    Ok(Value::Bool(args.time(0).order(args.time(1)).is_lt()))
}

fn is_equal<'e>(_: &Context<'e>, args: Arguments<'e>) -> Result<Value<'e>> {
    Ok(Value::Bool(args.time(0).order(args.time(1)).is_eq()))
}

fn to_string<'e>(context: &Context<'e>, args: Arguments<'e>) -> Result<Value<'e>> {
    Ok(Value::text(print::to_text(args.any(0), context)?))
}
