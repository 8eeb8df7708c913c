//! The house rules that the compiler does not know: who may call whom, and who may hold what (docs/architecture.md, "The floors").

use std::fs;
use std::path::{Path, PathBuf};

/// From the top down. Look down or sideways, never up.
const FLOORS: [(&str, &[&str]); 6] = [
    (
        "shell",
        &[
            "main", "lib", "router", "openapi", "fuzz", "running", "server", "jobs", "cli", "ops",
        ],
    ),
    ("surfaces", &["account", "discovery", "userinfo"]),
    (
        "flows",
        &[
            "token",
            "login",
            "logout",
            "client_auth",
            "registration",
            "consent",
            "authorize",
        ],
    ),
    (
        "nouns",
        &[
            "users",
            "credentials",
            "clients",
            "consumers",
            "keys",
            "sessions",
            "families",
            "notices",
            "events",
            "webhooks",
            "audit",
            "idempotency",
        ],
    ),
    (
        "tools",
        &["config", "db", "fetch", "jose", "http", "meters"],
    ),
    ("kernel", &["kernel"]),
];

/// What is passed down: seen by operations and edges on every floor, so outside the floors.
const PASSED_DOWN: [&str; 2] = ["app", "cx"];

/// Who must do without what is passed down.
fn knows_no_program(file: &Source) -> bool {
    matches!(
        file.room.as_str(),
        "kernel" | "config" | "db" | "fetch" | "jose" | "meters"
    ) || file.is("model.rs")
        || file.is("store.rs")
}

struct Source {
    path: PathBuf,
    room: String,
    /// The code, without comments and without in-module tests.
    code: String,
}

impl Source {
    fn is(&self, name: &str) -> bool {
        self.path.ends_with(name)
    }

    /// The top-level modules that this file names.
    fn imports(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &self.code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(group_heads(group)),
                None => found.push(head(rest)),
            }
        }
        found
    }
}

fn head(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first names of a `{a, b::c, d::{e, f}}` whose opening brace is behind us.
fn group_heads(text: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                heads.push(head(&text[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads.retain(|h| !h.is_empty());
    heads
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let within = path.strip_prefix(&root).unwrap();
                let room = within.iter().next().unwrap().to_str().unwrap();
                found.push(Source {
                    room: room.trim_end_matches(".rs").to_owned(),
                    code: code(&fs::read_to_string(&path).unwrap()),
                    path: within.to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 80, "the house was not found");
    found
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let lines = text.lines().map(|l| l.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

fn floor(room: &str) -> Option<usize> {
    FLOORS
        .iter()
        .rev()
        .position(|(_, rooms)| rooms.contains(&room))
}

/// What breaks the rule, one line each.
fn wrong_imports(file: &Source) -> Vec<String> {
    let name = file.path.display();
    let mut wrong = Vec::new();
    for import in file.imports() {
        if PASSED_DOWN.contains(&import.as_str()) {
            if knows_no_program(file) {
                wrong.push(format!("{name} must do without {import}"));
            }
            continue;
        }
        let Some(there) = floor(&import) else {
            // A type that lib.rs shows to tests, or a room that nobody gave a floor.
            wrong.push(format!("{name} names crate::{import}, which has no floor"));
            continue;
        };
        if PASSED_DOWN.contains(&file.room.as_str()) {
            continue;
        }
        match floor(&file.room) {
            None => wrong.push(format!("{name} is in a room without a floor")),
            Some(here) if there > here => wrong.push(format!("{name} looks up to {import}")),
            Some(_) => {}
        }
        if file.is("model.rs") && floor(&import) > Some(1) {
            wrong.push(format!(
                "{name} is a model: it knows the kernel and tools, not {import}"
            ));
        }
        if file.is("store.rs") && floor(&import) > Some(1) && import != file.room {
            wrong.push(format!("{name} is a store: it knows no other room"));
        }
    }
    wrong
}

#[test]
fn nobody_looks_up() {
    let wrong: Vec<String> = sources().iter().flat_map(wrong_imports).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The check can fail: each rule, broken once.
#[test]
fn a_wrong_import_is_seen() {
    let cases = [
        (
            "users/operations.rs",
            "use crate::login::page;",
            "looks up to login",
        ),
        (
            "kernel/id.rs",
            "use crate::{\n    config::{A, B},\n    kernel::x,\n};",
            "looks up to config",
        ),
        (
            "keys/store.rs",
            "fn f(cx: &crate::cx::Cx)",
            "must do without cx",
        ),
        ("keys/store.rs", "use crate::users::find;", "no other room"),
        ("users/model.rs", "use crate::clients::Client;", "a model"),
        (
            "loft/mod.rs",
            "use crate::kernel::Fault;",
            "without a floor",
        ),
        ("users/http.rs", "use crate::cellar::Wine;", "has no floor"),
    ];
    for (path, code, expected) in cases {
        let path = PathBuf::from(path);
        let room = path.iter().next().unwrap().to_str().unwrap().to_owned();
        let wrong = wrong_imports(&Source {
            path: path.clone(),
            room,
            code: code.to_owned(),
        });
        assert!(
            wrong.len() == 1 && wrong[0].contains(expected),
            "{}: {wrong:?}",
            path.display()
        );
    }
}

#[test]
fn models_are_pure_and_stores_begin_nothing() {
    for file in sources() {
        let forbidden: &[&str] = if file.is("model.rs") {
            &["async ", "sqlx", "axum", ".await"]
        } else if file.is("store.rs") {
            &[".commit(", ".begin(", "axum", "OffsetDateTime::now"]
        } else if file.is("http.rs") || file.is("page.rs") {
            // An edge decodes, calls, encodes.
            &["sqlx", ".begin(", ".commit(", "audit::", "events::"]
        } else {
            &[]
        };
        for word in forbidden {
            assert!(
                !file.code.contains(word),
                "{} holds `{word}`",
                file.path.display()
            );
        }
    }
}

/// A room's SQL is in its `store.rs`; what else asks the database is named here, with its reason.
#[test]
fn sql_lives_in_stores() {
    let elsewhere = [
        "credentials/throttle.rs", // a module with a table of its own
        "events/outbox.rs",        // the same
        "users/change.rs",         // a change, its event and its audit row in one statement
        "users/documents.rs",      // people as JSON, straight from their rows
        "users/search.rs",         // the one place for dynamic SQL
        "db/invalidation.rs",      // a tool's own table
        "db/migrations.rs",        // how long they wait
        "db/spend.rs",             // a tool's own table
        "db/embedded/cluster.rs",  // asks whether a cluster is up
        "ops/health.rs",           // the database's clock and schema
        "cli/first_start.rs",      // the lock of a first start
    ];
    for file in sources() {
        let path = file.path.to_str().unwrap();
        let asks = file.code.contains("sqlx::query") || file.code.contains("QueryBuilder");
        assert!(
            !asks || file.is("store.rs") || elsewhere.contains(&path),
            "{path} holds SQL"
        );
    }
}

/// Whatever the program turns to by itself, it reaches through `fetch/`, which checks the address (S-159).
#[test]
fn fetch_alone_dials() {
    let dials = [
        "TcpStream::connect",
        "TcpSocket",
        "UdpSocket",
        "lookup_host",
        "to_socket_addrs",
        "getaddrinfo",
        "reqwest::",
        "hyper_util::client",
        "hyper::client",
    ];
    let mut fetches = false;
    for file in sources() {
        let found = dials.iter().find(|dial| file.code.contains(**dial));
        let within = file.path.starts_with("fetch");
        fetches |= within && found.is_some();
        assert!(
            within || found.is_none(),
            "{} dials: {found:?}",
            file.path.display()
        );
    }
    assert!(fetches, "the search finds what is there");
}

/// Every relative link in the documents leads to a file.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("keys/README.md")];
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        documents.extend(entries.map(|e| e.unwrap().path()));
    }
    documents.retain(|path| path.extension().is_some_and(|e| e == "md"));
    let mut followed = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target}", document.display());
            followed += 1;
        }
    }
    assert!(followed > 10, "links were found");
}
