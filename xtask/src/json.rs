//! Reads JSON that our own command line writes.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text; an error names the byte.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.blanks();
        if reader.at < text.len() { Err(reader.wrong("more text after the value")) } else { Ok(value) }
    }

    /// The value at a path of keys; in a list `last` takes its last item.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((key, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key)?.1.at(rest),
            Self::List(items) if *key == "last" => items.last()?.at(rest),
            _ => None,
        }
    }

    /// The number at a path.
    pub(crate) fn number(&self, path: &[&str]) -> Option<f64> {
        if let Some(Self::Number(number)) = self.at(path) { Some(*number) } else { None }
    }

    /// The text at a path.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        if let Some(Self::Text(text)) = self.at(path) { Some(text) } else { None }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("no JSON: {what} at byte {}", self.at)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, word: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self) -> Result<Json, String> {
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.take(word) {
                return Ok(value);
            }
        }
        if self.take("{") {
            return self.items("}", Self::member).map(Json::Object);
        }
        if self.take("[") {
            return self.items("]", Self::value).map(Json::List);
        }
        if self.rest().starts_with('"') {
            return self.string().map(Json::Text);
        }
        let end = self.rest().find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = &self.rest()[..end.unwrap_or(self.rest().len())];
        let value = number.parse().map_err(|_| self.wrong("no value"))?;
        self.at += number.len();
        Ok(Json::Number(value))
    }

    fn items<T>(&mut self, end: &str, item: fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        if self.take(end) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(end) {
                return Ok(items);
            }
            if !self.take(",") {
                return Err(self.wrong("neither a comma nor an end"));
            }
        }
    }

    fn member(&mut self) -> Result<(String, Json), String> {
        self.blanks();
        let name = self.string()?;
        if self.take(":") { Ok((name, self.value()?)) } else { Err(self.wrong("no colon")) }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Err(self.wrong("no text"));
        }
        let mut text = String::new();
        loop {
            let Some(next) = self.rest().chars().next() else { return Err(self.wrong("a text without end")) };
            self.at += next.len_utf8();
            match next {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                other => text.push(other),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let Some(kind) = self.rest().chars().next() else { return Err(self.wrong("a text without end")) };
        self.at += kind.len_utf8();
        Ok(match kind {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let code = self.rest().get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let code = code.ok_or_else(|| self.wrong("no four digits"))?;
                self.at += 4;
                // halves of a pair beyond the first plane do not matter to what is read here
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let text =
            r#" {"a": {"b": [1, -2.5e1]}, "path": "C:\\x \"y\" \u00e9\n", "no": null, "yes": [true, false], "e": {}} "#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.number(&["a", "b", "last"]), Some(-25.0));
        assert_eq!(json.text(&["path"]), Some("C:\\x \"y\" é\n"));
        assert_eq!(json.at(&["no"]), Some(&Json::Null));
        assert_eq!(json.at(&["yes"]), Some(&Json::List(vec![Json::Bool(true), Json::Bool(false)])));
        assert_eq!(json.at(&["a", "c"]), None);
    }

    #[test]
    fn damage_is_an_error() {
        for text in ["", "{", "[1", "[1 2]", "\"x", "{\"a\" 1}", "1 2", "nul", "\"\\u12\"", "\"\\", "é"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}
