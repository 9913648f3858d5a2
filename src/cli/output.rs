//! A file that a verb writes for a person: it appears when all of it is there, or nothing does.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::Error;

/// Being written, under a name of its own beside the one it gets.
pub(super) struct Output {
    aside: NamedTempFile,
    to: PathBuf,
}

/// What goes wrong with a file that a person named.
pub(super) fn on_file(op: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |source| Error::File { op, path: path.clone(), source }
}

impl Output {
    /// `to` may be a directory: then the file is called `name` in it.
    #[allow(clippy::disallowed_methods, reason = "the user names the file, it is none of the unit's")]
    pub(super) fn create(to: &Path, name: &str) -> Result<Self, Error> {
        let to = if to.is_dir() { to.join(name) } else { to.to_owned() };
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // As any new file: what the umask leaves.
        let builder = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
        let aside = builder.map_err(on_file("write", &to))?;
        Ok(Self { aside, to })
    }

    pub(super) fn file(&self) -> &File {
        self.aside.as_file()
    }

    /// Lets it appear, in the place of what has its name.
    pub(super) fn keep(self) -> Result<PathBuf, Error> {
        let wrong = on_file("write", &self.to);
        self.aside.as_file().sync_all().map_err(&wrong)?;
        self.aside.persist(&self.to).map_err(|e| wrong(e.error))?;
        Ok(self.to)
    }
}
