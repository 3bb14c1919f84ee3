//! Finds which module of a crate names which: `use` trees, inline paths and the paths in macro calls, with file and
//! line.
//!
//! Files are found as the compiler finds them, by the `mod` items from the crate's root on. Not covered: paths in
//! strings, such as those of serde attributes, and the expansion of macros of other crates.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A path of names from the crate's root.
pub(crate) type Path = Vec<String>;

/// One place where a module names another.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// The module that names.
    pub(crate) from: Path,
    /// What it names: from the crate's root, or from another crate's name if `is_external`.
    pub(crate) to: Path,
    /// Whether `to` is in another crate.
    pub(crate) is_external: bool,
    /// The file, from the crate's directory of sources.
    pub(crate) file: String,
    /// The line in it.
    pub(crate) line: usize,
    /// Whether the module is compiled for tests only.
    pub(crate) in_test: bool,
}

/// The sources of one crate.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// All imports.
    pub(crate) imports: Vec<Import>,
    /// All modules, apart from those for tests.
    pub(crate) modules: BTreeSet<Path>,
    /// Public traits, by name.
    pub(crate) traits: BTreeSet<String>,
    /// Re-exports of modules: module and name, and the path that the name stands for.
    re_exports: BTreeMap<(Path, String), Path>,
}

impl Sources {
    /// Reads a crate from its files by name; `root` is `lib.rs` or `main.rs`.
    ///
    /// # Errors
    /// A file that is missing, is not Rust, or is not reached by a `mod` item.
    pub(crate) fn read(root: &str, files: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut sources = Self::default();
        let mut queue = vec![(root.to_owned(), Path::new(), false)];
        let mut seen = BTreeSet::new();
        while let Some((file, module, in_test)) = queue.pop() {
            let text = files.get(&file).ok_or_else(|| format!("{file}: there is no such file"))?;
            let parsed = syn::parse_file(text).map_err(|error| format!("{file}: {error}"))?;
            let mut reader = Reader {
                sources: &mut sources,
                file: file.clone(),
                directory: directory_of_children(&file, module.is_empty()),
                module,
                in_test,
                children: declared(&parsed.items),
                more: Vec::new(),
                files,
            };
            if !reader.in_test {
                reader.sources.modules.insert(reader.module.clone());
            }
            reader.visit_file(&parsed);
            queue.append(&mut reader.more);
            seen.insert(file);
        }
        match files.keys().find(|file| !seen.contains(*file)) {
            Some(file) => Err(format!("{file}: no `mod` item leads here")),
            None => Ok(sources),
        }
    }

    /// The target of a path if its module re-exports the name, one step.
    pub(crate) fn re_exported(&self, path: &[String]) -> Option<Path> {
        (0..path.len()).rev().find_map(|at| {
            let target = self.re_exports.get(&(path[..at].to_vec(), path[at].clone()))?;
            Some([target.as_slice(), &path[at + 1..]].concat())
        })
    }
}

/// The directory that a file's child modules are in.
fn directory_of_children(file: &str, is_root: bool) -> String {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    let parts = if is_root || stem == "mod" { vec![directory] } else { vec![directory, stem] };
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// Names of the modules that these items declare.
fn declared(items: &[syn::Item]) -> BTreeSet<String> {
    let modules = items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

/// Whether an item is compiled for tests only: `cfg(test)`, or `cfg(all(test, ...))`.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        attribute.meta.require_list().is_ok_and(|list| {
            let text = list.tokens.to_string();
            text == "test" || text.replace(' ', "").starts_with("all(test")
        })
    })
}

struct Reader<'a> {
    sources: &'a mut Sources,
    file: String,
    directory: String,
    module: Path,
    in_test: bool,
    children: BTreeSet<String>,
    more: Vec<(String, Path, bool)>,
    files: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    /// A path as it is written, from the crate's root on; `None` for a name that is already in scope.
    fn resolve(&self, names: &[String], in_use: bool) -> Option<(Path, bool)> {
        let mut at = match names.first()?.as_str() {
            "crate" => Path::new(),
            "self" | "super" => self.module.clone(),
            first if in_use && self.children.contains(first) => {
                return Some(([self.module.as_slice(), names].concat(), false));
            }
            first => {
                let is_crate = first.starts_with("replicator_");
                return is_crate.then(|| (names.to_vec(), true));
            }
        };
        let mut rest = names;
        while let Some((first, more)) = rest.split_first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                _ => break,
            }
            rest = more;
        }
        Some(([at.as_slice(), rest].concat(), false))
    }

    fn note(&mut self, names: &[String], line: usize, in_use: bool) {
        let Some((to, is_external)) = self.resolve(names, in_use) else { return };
        let (from, file, in_test) = (self.module.clone(), self.file.clone(), self.in_test);
        self.sources.imports.push(Import { from, to, is_external, file, line, in_test });
    }

    fn note_tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>, is_public: bool) {
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(&path.tree, before, is_public);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(tree, before, is_public);
                }
            }
            syn::UseTree::Glob(_) => self.note(before, line, true),
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                let path = match name.as_str() {
                    "self" => before.clone(),
                    _ => [before.as_slice(), std::slice::from_ref(&name)].concat(),
                };
                self.note(&path, line, true);
                self.re_export(&path, path.last().cloned(), is_public);
            }
            syn::UseTree::Rename(rename) => {
                let path = [before.as_slice(), &[rename.ident.to_string()]].concat();
                self.note(&path, line, true);
                self.re_export(&path, Some(rename.rename.to_string()), is_public);
            }
        }
    }

    fn re_export(&mut self, path: &[String], name: Option<String>, is_public: bool) {
        let (Some((target, false)), Some(name)) = (self.resolve(path, true), name) else { return };
        if is_public {
            self.sources.re_exports.insert((self.module.clone(), name), target);
        }
    }

    /// The public traits that a macro call defines, as `part! { pub trait Name: ... }`.
    fn note_traits(&mut self, tokens: TokenStream) {
        let words: Vec<String> = tokens.into_iter().map(|token| token.to_string()).collect();
        for three in words.windows(3) {
            if let [visibility, keyword, name] = three {
                if visibility == "pub" && keyword == "trait" {
                    self.sources.traits.insert(name.clone());
                }
            }
        }
    }

    /// The paths in the tokens of a macro call.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut names: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if names.is_empty() || colons == 2 => {
                    if names.is_empty() {
                        line = ident.span().start().line;
                    }
                    names.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !names.is_empty() => colons += 1,
                other => {
                    self.note_words(&mut names, line);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.note_tokens(group.stream()),
                        TokenTree::Ident(ident) => {
                            line = ident.span().start().line;
                            names.push(ident.to_string());
                        }
                        _ => {}
                    }
                }
            }
        }
        self.note_words(&mut names, line);
    }

    fn note_words(&mut self, names: &mut Vec<String>, line: usize) {
        let names = std::mem::take(names);
        if names.len() > 1 {
            self.note(&names, line, false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let path = [self.module.as_slice(), std::slice::from_ref(&name)].concat();
        let in_test = self.in_test || is_for_tests(&module.attrs);
        let Some((_, items)) = &module.content else {
            let prefix =
                if self.directory.is_empty() { String::new() } else { format!("{}/", self.directory) };
            let file = format!("{prefix}{name}.rs");
            let file = if self.files.contains_key(&file) { file } else { format!("{prefix}{name}/mod.rs") };
            self.more.push((file, path, in_test));
            return;
        };
        if !in_test {
            self.sources.modules.insert(path.clone());
        }
        let directory = format!("{}/{name}", self.directory).trim_start_matches('/').to_owned();
        let outside = (
            std::mem::replace(&mut self.module, path),
            std::mem::replace(&mut self.in_test, in_test),
            std::mem::replace(&mut self.children, declared(items)),
            std::mem::replace(&mut self.directory, directory),
        );
        for item in items {
            self.visit_item(item);
        }
        (self.module, self.in_test, self.children, self.directory) = outside;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.note_tree(&item.tree, &mut Vec::new(), is_public);
    }

    /// An exported macro is in scope at the crate's root.
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let is_exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
        if let Some(name) = item.ident.as_ref().filter(|_| is_exported) {
            let target = [self.module.as_slice(), &[name.to_string()]].concat();
            self.sources.re_exports.insert((Path::new(), name.to_string()), target);
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        if matches!(item.vis, syn::Visibility::Public(_)) {
            self.sources.traits.insert(item.ident.to_string());
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.note(&names, path.span().start().line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.note_tokens(call.tokens.clone());
        self.note_traits(call.tokens.clone());
    }

    /// `pub(in crate::module)` imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}
