//! `$filter`: comparisons, `and`, `or`, `not`, parentheses, and functions on texts.
//!
//! A filter is read once and held against every entity. How deep it may nest is bounded, since that is what reading it needs of the
//! stack. Comparing with null finds nothing but null itself.

use std::cmp::Ordering;

use serde_json::Value;

use super::key::Literal;
use crate::web::problem::{Code, Problem};

/// How deep parentheses, `not` and functions may nest.
const DEPTH: usize = 32;
/// Comparisons of a filter.
const TERMS: usize = 1000;

/// A condition on an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Operand, Operator, Operand),
    Test(Test, Operand, Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

/// A function that says yes or no of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Test {
    /// Whether the first is somewhere in the second.
    SubstringOf,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Operand {
    Property(String),
    Null,
    Text(String),
    /// Also a moment, in milliseconds since 1970.
    Number(i64),
    Bool(bool),
    Lower(Box<Operand>),
    Upper(Box<Operand>),
}

/// What an operand is for one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Null,
    Text(String),
    Number(i64),
    Bool(bool),
}

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let mut reader = Reader { rest: text, depth: 0, terms: 0 };
        let filter = reader.any_of()?;
        if reader.rest.trim_start().is_empty() { Ok(filter) } else { Err(stray()) }
    }

    /// Every property that it names.
    pub(super) fn properties(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::properties).collect(),
            Self::Not(inner) => inner.properties(),
            Self::Compare(a, _, b) | Self::Test(_, a, b) => a.property().into_iter().chain(b.property()).collect(),
        }
    }

    pub(super) fn holds(&self, entity: &Value) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(entity)),
            Self::Or(any) => any.iter().any(|one| one.holds(entity)),
            Self::Not(inner) => !inner.holds(entity),
            Self::Compare(a, operator, b) => operator.holds(&a.of(entity), &b.of(entity)),
            Self::Test(test, a, b) => match (a.of(entity), b.of(entity)) {
                (Held::Text(a), Held::Text(b)) => test.holds(&a, &b),
                _ => false,
            },
        }
    }

    /// The text that a property must be for this to hold, where it says so.
    pub(in super::super) fn demands(&self, property: &str) -> Option<&str> {
        match self {
            Self::And(all) => all.iter().find_map(|one| one.demands(property)),
            Self::Compare(Operand::Property(name), Operator::Eq, Operand::Text(text))
            | Self::Compare(Operand::Text(text), Operator::Eq, Operand::Property(name))
                if name == property =>
            {
                Some(text)
            }
            _ => None,
        }
    }
}

impl Operator {
    fn holds(self, a: &Held, b: &Held) -> bool {
        let order = match (a, b) {
            (Held::Null, Held::Null) => Some(Ordering::Equal),
            (Held::Text(a), Held::Text(b)) => Some(a.cmp(b)),
            (Held::Number(a), Held::Number(b)) => Some(a.cmp(b)),
            (Held::Bool(a), Held::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        };
        match self {
            Self::Eq => order == Some(Ordering::Equal),
            Self::Ne => order != Some(Ordering::Equal),
            Self::Gt => order == Some(Ordering::Greater),
            Self::Ge => order.is_some_and(Ordering::is_ge),
            Self::Lt => order == Some(Ordering::Less),
            Self::Le => order.is_some_and(Ordering::is_le),
        }
    }
}

impl Test {
    fn holds(self, a: &str, b: &str) -> bool {
        match self {
            Self::SubstringOf => b.contains(a),
            Self::StartsWith => a.starts_with(b),
            Self::EndsWith => a.ends_with(b),
        }
    }
}

impl Operand {
    fn property(&self) -> Option<&str> {
        match self {
            Self::Property(name) => Some(name),
            Self::Lower(inner) | Self::Upper(inner) => inner.property(),
            _ => None,
        }
    }

    fn of(&self, entity: &Value) -> Held {
        let cased = |inner: &Self, change: fn(&str) -> String| match inner.of(entity) {
            Held::Text(text) => Held::Text(change(&text)),
            other => other,
        };
        match self {
            Self::Null => Held::Null,
            Self::Text(text) => Held::Text(text.clone()),
            Self::Number(number) => Held::Number(*number),
            Self::Bool(value) => Held::Bool(*value),
            Self::Lower(inner) => cased(inner, str::to_lowercase),
            Self::Upper(inner) => cased(inner, str::to_uppercase),
            Self::Property(name) => match &entity[name] {
                Value::String(text) => date(text).map_or_else(|| Held::Text(text.clone()), Held::Number),
                Value::Number(number) => number.as_i64().map_or(Held::Null, Held::Number),
                Value::Bool(value) => Held::Bool(*value),
                _ => Held::Null,
            },
        }
    }
}

/// The milliseconds of `/Date(…)/`.
fn date(text: &str) -> Option<i64> {
    text.strip_prefix("/Date(")?.strip_suffix(")/")?.parse().ok()
}

/// The milliseconds of a moment in UTC: `2024-05-01T10:20:30.400`, also without what is small.
fn moment(text: &str) -> Option<i64> {
    use time::format_description::well_known::Rfc3339;
    let text = text.strip_suffix('Z').unwrap_or(text);
    let whole = if text.len() == 16 { format!("{text}:00Z") } else { format!("{text}Z") };
    let moment = time::OffsetDateTime::parse(&whole, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
    terms: usize,
}

impl Reader<'_> {
    fn any_of(&mut self) -> Result<Filter, Problem> {
        let mut any = vec![self.all_of()?];
        while self.word("or") {
            any.push(self.all_of()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
    }

    fn all_of(&mut self) -> Result<Filter, Problem> {
        let mut all = vec![self.one()?];
        while self.word("and") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn one(&mut self) -> Result<Filter, Problem> {
        self.deeper()?;
        let filter = if self.word("not") {
            Filter::Not(Box::new(self.one()?))
        } else if self.symbol('(') {
            let inner = self.any_of()?;
            self.close()?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Filter, Problem> {
        self.terms += 1;
        if self.terms > TERMS {
            return Err(Code::ODataFilter.into());
        }
        let before = self.rest;
        for (name, test) in
            [("substringof", Test::SubstringOf), ("startswith", Test::StartsWith), ("endswith", Test::EndsWith)]
        {
            if self.function(name) {
                let (a, b) = (self.operand()?, self.comma().and_then(|()| self.operand())?);
                self.close()?;
                let test = Filter::Test(test, a, b);
                // Clients compare what is true with true.
                return Ok(match self.operator()? {
                    None => test,
                    Some(operator) => match (operator, self.operand()?) {
                        (Operator::Eq, Operand::Bool(true)) | (Operator::Ne, Operand::Bool(false)) => test,
                        (Operator::Eq, Operand::Bool(false)) | (Operator::Ne, Operand::Bool(true)) => {
                            Filter::Not(Box::new(test))
                        }
                        _ => return Err(Problem::new(Code::ODataOperandType).with(name)),
                    },
                });
            }
            self.rest = before;
        }
        let a = self.operand()?;
        let Some(operator) = self.operator()? else { return Err(stray()) };
        Ok(Filter::Compare(a, operator, self.operand()?))
    }

    fn operator(&mut self) -> Result<Option<Operator>, Problem> {
        for (word, operator) in [
            ("eq", Operator::Eq),
            ("ne", Operator::Ne),
            ("gt", Operator::Gt),
            ("ge", Operator::Ge),
            ("lt", Operator::Lt),
            ("le", Operator::Le),
        ] {
            if self.word(word) {
                return Ok(Some(operator));
            }
        }
        let counts = ["add", "sub", "mul", "div", "mod"].iter().any(|word| self.word(word));
        if counts { Err(Code::ODataOperator.into()) } else { Ok(None) }
    }

    fn operand(&mut self) -> Result<Operand, Problem> {
        self.deeper()?;
        self.rest = self.rest.trim_start();
        let operand = if self.rest.starts_with('\'') {
            match Literal::read(self.rest) {
                Some((Literal::Text(text), rest)) => {
                    self.rest = rest;
                    Operand::Text(text)
                }
                _ => return Err(Code::ODataFilter.into()),
            }
        } else {
            self.named()?
        };
        self.depth -= 1;
        Ok(operand)
    }

    /// An operand that begins with a word.
    fn named(&mut self) -> Result<Operand, Problem> {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            return Err(Code::ODataFilter.into());
        }
        if word == "datetime" && rest.starts_with('\'') {
            let Some((Literal::Text(text), rest)) = Literal::read(rest) else { return Err(Code::ODataFilter.into()) };
            self.rest = rest;
            let unable = || Problem::new(Code::ODataOperand).with(&text);
            return moment(&text).map(Operand::Number).ok_or_else(unable);
        }
        if rest.trim_start().starts_with('(') {
            let lower = match word {
                "tolower" => true,
                "toupper" => false,
                _ => return Err(Code::ODataFunction.into()),
            };
            self.symbol('(');
            let inner = Box::new(self.operand()?);
            self.close()?;
            return Ok(if lower { Operand::Lower(inner) } else { Operand::Upper(inner) });
        }
        match word {
            "null" => return Ok(Operand::Null),
            "true" => return Ok(Operand::Bool(true)),
            "false" => return Ok(Operand::Bool(false)),
            _ => {}
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            let number = word.strip_suffix(['L', 'l']).unwrap_or(word).parse();
            return number.map(Operand::Number).map_err(|_| Problem::new(Code::ODataOperand).with(word));
        }
        Ok(Operand::Property(word.to_owned()))
    }

    fn function(&mut self, name: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(name) {
            Some(after) if after.trim_start().starts_with('(') => {
                self.rest = after;
                self.symbol('(')
            }
            _ => false,
        }
    }

    /// A whole word at the beginning.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(after) if after.starts_with([' ', '(', '\'']) || after.is_empty() => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let after = self.rest.trim_start().strip_prefix(symbol);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn close(&mut self) -> Result<(), Problem> {
        if self.symbol(')') { Ok(()) } else { Err(stray()) }
    }

    fn comma(&mut self) -> Result<(), Problem> {
        if self.symbol(',') { Ok(()) } else { Err(stray()) }
    }

    fn deeper(&mut self) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth > DEPTH { Err(Code::ODataFilter.into()) } else { Ok(()) }
    }
}

/// The refusal of what cannot stand where it stands.
fn stray() -> Problem {
    Code::ODataFilter.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str) -> Result<bool, Code> {
        let entity = json!({
            "Name": "It's me", "Box": null, "On": true, "Size": 7, "_Box.Name": "b1", "__updated": "/Date(1714558830400)/",
        });
        Filter::parse(text).map(|filter| filter.holds(&entity)).map_err(|p| p.code())
    }

    #[test]
    fn filters_say_what_holds() {
        for (text, expected) in [
            ("Name eq 'It''s me'", true),
            ("'It''s me' eq Name", true),
            ("Name ne 'x'", true),
            ("Name eq 'x' or Box eq null", true),
            ("Name eq 'x' or Box eq null and Size eq 8", false),
            ("(Name eq 'x' or Box eq null) and Size eq 7", true),
            ("not (Box eq null)", false),
            ("not Box eq null", false),
            ("not not(On eq true)", true),
            ("Box ne null", false),
            ("Name ne null", true),
            ("Name gt null", false),
            ("Name gt 'It' and Name lt 'J' and Name ge 'It''s me' and Name le 'It''s me'", true),
            ("Size gt 6 and Size le 7L and Size gt -1", true),
            ("On eq false", false),
            ("_Box.Name eq 'b1'", true),
            ("startswith(Name,'It')", true),
            ("startswith(Name,'it') eq true", false),
            ("startswith(tolower(Name), 'it') eq true", true),
            ("endswith(Name,'me') ne false", true),
            ("substringof('s m', Name)", true),
            ("substringof('x', Name) eq false", true),
            ("substringof('x', Box)", false),
            ("toupper(Name) eq 'IT''S ME'", true),
            ("__updated gt datetime'2024-05-01T10:20:30.399'", true),
            ("__updated le datetime'2024-05-01T10:20'", false),
            ("__updated eq 1714558830400", true),
        ] {
            assert_eq!(holds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told_apart() {
        for (text, code) in [
            ("", Code::ODataFilter),
            ("Name", Code::ODataFilter),
            ("Name eq", Code::ODataFilter),
            ("Name eq 'x", Code::ODataFilter),
            ("Name eq 'x' Name", Code::ODataFilter),
            ("Name eq 'x')", Code::ODataFilter),
            ("(Name eq 'x'", Code::ODataFilter),
            ("and", Code::ODataFilter),
            ("Name is 'x'", Code::ODataFilter),
            ("Size add 1 eq 8", Code::ODataOperator),
            ("length(Name) eq 7", Code::ODataFunction),
            ("Size eq 99999999999999999999", Code::ODataOperand),
            ("__updated gt datetime'yesterday'", Code::ODataOperand),
            ("startswith(Name,'x') eq 'x'", Code::ODataOperandType),
        ] {
            assert_eq!(holds(text), Err(code), "{text}");
        }
        let deep = |n: usize| format!("{}Size eq 7{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(holds(&deep(20)), Ok(true));
        for deep in [deep(100_000), "not ".repeat(100_000), format!("{}Name", "tolower(".repeat(100_000))] {
            assert_eq!(holds(&deep), Err(Code::ODataFilter));
        }
        assert_eq!(holds(&vec!["Size eq 7"; 1001].join(" or ")), Err(Code::ODataFilter));
    }

    #[test]
    fn what_a_property_must_be_is_known() {
        let demands = |text: &str| Filter::parse(text).expect("a filter").demands("Name").map(str::to_owned);
        assert_eq!(demands("Size eq 7 and Name eq 'a'").as_deref(), Some("a"));
        assert_eq!(demands("Name eq 'a' or Size eq 7"), None);
        assert_eq!(demands("not Name eq 'a'"), None);
    }
}
