//! The book builds without a warning, and links between pages, to sources and to sections lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{markdown, process::Counts, workspace::Workspace};

pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let mut build = workspace.tool("mdbook");
    let output = build
        .args(["build", "docs/book", "--dest-dir"])
        .arg(workspace.target().join("book"))
        .stdout(Stdio::inherit())
        .output()
        .context("cannot start mdbook; run the setup stage first")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    eprint!("{said}");
    // A missing include is only logged.
    if !output.status.success() || ["ERROR", "WARN"].iter().any(|word| said.contains(word)) {
        bail!("mdbook is not content with the book");
    }
    let pages: Vec<String> = workspace.files()?.into_iter().filter(|name| name.ends_with(".md")).collect();
    let mut problems = Vec::new();
    for page in &pages {
        problems.extend(dead_links(&workspace.root, page)?);
    }
    if !problems.is_empty() {
        bail!("{} links lead nowhere\n{}", problems.len(), problems.join("\n"));
    }
    Ok(Counts::passed(pages.len()))
}

fn dead_links(root: &Path, page: &str) -> Result<Vec<String>> {
    let path = root.join(page);
    let text = fs::read_to_string(&path)?;
    let folder = path.parent().context("a page without a folder")?;
    let mut problems = Vec::new();
    for link in markdown::links(&text) {
        if ["http:", "https:", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
            continue;
        }
        let (file, section) = link.split_once('#').map_or((link.as_str(), None), |(file, name)| (file, Some(name)));
        let target: PathBuf = if file.is_empty() { path.clone() } else { folder.join(file) };
        if !target.exists() {
            problems.push(format!("{page}: {link}"));
        } else if let (Some(section), Some("md")) = (section, target.extension().and_then(|end| end.to_str()))
            && !markdown::sections(&fs::read_to_string(&target)?).iter().any(|name| name == section)
        {
            problems.push(format!("{page}: {link}: there is no such section"));
        }
    }
    Ok(problems)
}
