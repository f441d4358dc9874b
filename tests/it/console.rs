//! Requests in documents, as the console of OpenSearch Dashboards takes them.

/// A request as the console of Dashboards takes it.
pub struct Request {
    pub method: String,
    pub path: String,
    /// Empty if it has none.
    pub body: String,
}

/// The requests in the blocks of a document.
pub fn requests(document: &str) -> Vec<Request> {
    let mut found: Vec<Request> = Vec::new();
    for block in document.split("\n```").skip(1).step_by(2) {
        let (_, block) = block.split_once('\n').unwrap();
        let first = block.split(' ').next().unwrap();
        if !["GET", "PUT", "POST", "DELETE"].contains(&first) {
            continue;
        }
        for line in block.lines() {
            match line.split_once(" /") {
                Some((method, path)) if !line.starts_with([' ', '{', '}']) => found.push(Request {
                    method: method.to_owned(),
                    path: format!("/{path}"),
                    body: String::new(),
                }),
                _ => found.last_mut().unwrap().body += &format!("{line}\n"),
            }
        }
    }
    found
}

/// What stands under a heading of a document.
pub fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    after.split("\n## ").next().unwrap()
}
