//! Patterns of paths in sanitise rules.
//!
//! Names are bytes. A pattern is matched component by component while a tree is walked: [`Pattern::start`] gives the
//! positions at the root and [`Pattern::advance`] those one level deeper, so that directories without a possible match
//! are not entered. For every pattern, the effort is at most the product of the lengths.

use replicator_hal::RelativePath;
use std::collections::BTreeSet;
use std::fmt;

/// Longest pattern.
const LIMIT_BYTES: usize = 1024;

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\": {reason}", pattern.escape_debug())]
pub struct InvalidPattern {
    pattern: String,
    reason: &'static str,
}

/// A pattern of absolute paths.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    /// `**`: any number of directories; at the end, at least one name.
    AnyDepth,
    /// One name.
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyByte,
    AnyBytes,
    Set { is_negated: bool, ranges: Vec<(u8, u8)> },
}

impl Token {
    /// Whether it matches this byte. Not used for [`Token::AnyBytes`].
    fn matches_byte(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::AnyByte | Self::AnyBytes => true,
            Self::Set { is_negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *is_negated
            }
        }
    }
}

/// The positions in a pattern that a path may have reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Indices of the components that come next.
    next: BTreeSet<usize>,
    components: usize,
}

impl Positions {
    /// Whether the path so far matches the whole pattern.
    pub fn is_match(&self) -> bool {
        self.next.contains(&self.components)
    }

    /// Whether something below the path may still match.
    pub fn may_match_below(&self) -> bool {
        self.next.iter().any(|index| *index < self.components)
    }
}

impl Pattern {
    /// Parses a pattern such as `/etc/ssh/ssh_host_*_key`.
    ///
    /// # Errors
    /// If it does not start with a slash, has empty, `.` or `..` components, `**` beside other characters in a
    /// component, a set without end, nothing but wildcards, or is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason| InvalidPattern { pattern: text.chars().take(80).collect(), reason };
        if text.len() > LIMIT_BYTES {
            return Err(invalid("longer than 1024 bytes"));
        }
        let relative = text.strip_prefix('/').ok_or_else(|| invalid("a path must start with '/'"))?;
        let components =
            relative.split('/').map(parse_component).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let names_something = components.iter().any(|component| match component {
            Component::AnyDepth => false,
            Component::Name(tokens) => {
                tokens.iter().any(|token| !matches!(token, Token::AnyByte | Token::AnyBytes))
            }
        });
        if !names_something {
            return Err(invalid("it would match everything"));
        }
        Ok(Self { text: text.to_owned(), components })
    }

    /// The pattern as a path, if it has no wildcards.
    pub fn literal(&self) -> Option<RelativePath> {
        let mut path = RelativePath::root();
        for component in &self.components {
            let Component::Name(tokens) = component else { return None };
            let name: Option<Vec<u8>> = tokens
                .iter()
                .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
                .collect();
            path = path.join(name?).ok()?;
        }
        Some(path)
    }

    /// The names before the first wildcard, as a path; `None` if there is none.
    pub fn literal_start(&self) -> Option<RelativePath> {
        let mut literal = self.components.iter().map_while(|component| match component {
            Component::AnyDepth => None,
            Component::Name(tokens) => tokens
                .iter()
                .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
                .collect::<Option<Vec<u8>>>(),
        });
        let path = literal.try_fold(RelativePath::root(), |path, name| path.join(name)).ok()?;
        (!path.is_root()).then_some(path)
    }

    /// The positions at `path`, and whether the pattern matches `path` or a directory above it.
    pub fn positions_at(&self, path: &RelativePath) -> (Positions, bool) {
        let mut positions = self.start();
        let mut is_held = false;
        for name in path.components() {
            positions = self.advance(&positions, name);
            is_held |= positions.is_match();
        }
        (positions, is_held)
    }

    /// The positions at the root of a tree.
    pub fn start(&self) -> Positions {
        let mut positions = Positions { next: BTreeSet::new(), components: self.components.len() };
        self.insert(&mut positions.next, 0);
        positions
    }

    /// The positions one level deeper, at a file or directory called `name`.
    #[must_use]
    pub fn advance(&self, positions: &Positions, name: &[u8]) -> Positions {
        let mut next = BTreeSet::new();
        for index in &positions.next {
            match self.components.get(*index) {
                Some(Component::AnyDepth) => {
                    self.insert(&mut next, *index);
                    // At the end, it has matched the name that it needs.
                    if index + 1 == self.components.len() {
                        next.insert(index + 1);
                    }
                }
                Some(Component::Name(tokens)) if matches_name(tokens, name) => {
                    self.insert(&mut next, index + 1)
                }
                _ => {}
            }
        }
        Positions { next, components: self.components.len() }
    }

    /// Adds a position, and those after it that are reached without a name.
    fn insert(&self, next: &mut BTreeSet<usize>, mut index: usize) {
        next.insert(index);
        while self.components.get(index) == Some(&Component::AnyDepth) && index + 1 < self.components.len() {
            index += 1;
            next.insert(index);
        }
    }

    /// Whether the component at `index` (from 0) matches `name`. `**` matches every name; an index beyond the end none.
    pub fn matches_component(&self, index: usize, name: &[u8]) -> bool {
        match self.components.get(index) {
            Some(Component::AnyDepth) => true,
            Some(Component::Name(tokens)) => matches_name(tokens, name),
            None => false,
        }
    }

    /// Whether the pattern matches the whole `path`.
    pub fn matches(&self, path: &RelativePath) -> bool {
        let start = self.start();
        path.components().fold(start, |positions, name| self.advance(&positions, name)).is_match()
    }

    /// Whether the pattern matches `path` or a directory above it.
    pub fn matches_or_holds(&self, path: &RelativePath) -> bool {
        let mut positions = self.start();
        path.components().any(|name| {
            positions = self.advance(&positions, name);
            positions.is_match()
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_debug())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

fn parse_component(text: &str) -> Result<Component, &'static str> {
    if text.is_empty() {
        return Err("a path must not be '/', end with '/' or hold '//'");
    }
    if matches!(text, "." | "..") {
        return Err("'.' and '..' are not allowed");
    }
    if text == "**" {
        return Ok(Component::AnyDepth);
    }
    let mut tokens = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match byte {
            0 => return Err("a NUL byte"),
            b'*' if tokens.last() == Some(&Token::AnyBytes) => {
                return Err("'**' must be a whole component");
            }
            b'*' => Token::AnyBytes,
            b'?' => Token::AnyByte,
            b'[' => {
                let (set, tail) = parse_set(rest)?;
                rest = tail;
                set
            }
            b'\\' => {
                let (escaped, tail) = rest.split_first().ok_or("'\\' at the end")?;
                rest = tail;
                Token::Byte(*escaped)
            }
            byte => Token::Byte(*byte),
        });
    }
    let is_dots =
        [&[Token::Byte(b'.')][..], &[Token::Byte(b'.'), Token::Byte(b'.')]].contains(&tokens.as_slice());
    if is_dots { Err("'.' and '..' are not allowed") } else { Ok(Component::Name(tokens)) }
}

/// Parses a set after its `[`. A `]` at the start is an element of the set.
fn parse_set(text: &[u8]) -> Result<(Token, &[u8]), &'static str> {
    const NO_END: &str = "'[' without ']'";
    let (is_negated, mut rest) = match text.split_first().ok_or(NO_END)? {
        (b'!' | b'^', tail) => (true, tail),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        let (first, tail) = rest.split_first().ok_or(NO_END)?;
        rest = tail;
        if *first == b']' && !ranges.is_empty() {
            return Ok((Token::Set { is_negated, ranges }, rest));
        }
        if !first.is_ascii() {
            return Err("a set may hold ASCII characters only");
        }
        let last = match rest {
            [b'-', last, tail @ ..] if *last != b']' => {
                rest = tail;
                *last
            }
            _ => *first,
        };
        if last < *first || !last.is_ascii() {
            return Err("a range in a set must go upwards, in ASCII");
        }
        ranges.push((*first, last));
    }
}

/// Matches one name. After a mismatch only the last `*` takes one more byte: if that does not help, an earlier `*` does
/// not either.
fn matches_name(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut retry = None;
    loop {
        match (tokens.get(token), name.get(at)) {
            (Some(Token::AnyBytes), _) => {
                retry = Some((token, at));
                token += 1;
                continue;
            }
            (None, None) => return true,
            (Some(wanted), Some(byte)) if wanted.matches_byte(*byte) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, taken)) = retry else { return false };
        if taken >= name.len() {
            return false;
        }
        retry = Some((star, taken + 1));
        (token, at) = (star + 1, taken + 1);
    }
}
