//! Programs of Debian's packages as root filesystems.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// Downloads a package, and those of the packages it names that hold libraries, and unpacks them.
const UNPACK: &str = r#"set -eu
root=$1 && shift && mkdir -p "$root"
# Containers' apt keeps no index of its lists, and would make it anew each time.
printf 'Dir::Cache::%s "%s";\n' pkgcache "$PWD/index" srcpkgcache "$PWD/sources" >apt.conf
export APT_CONFIG=$PWD/apt.conf
all= todo="libc6 $*"
while [ -n "$todo" ]; do
  all="$all $todo"
  known=$(printf '%s\n' $all)
  todo=$(apt-cache depends --no-recommends --no-suggests $todo | sed -n 's/^ *|\?Depends: \(z\?lib[^<]*\)$/\1/p' |
    sort -u | grep -vxF "$known" || true)
done
apt-get download -q $all
for package in *.deb; do dpkg-deb -x "$package" "$root"; done
# Since /usr was merged these are links, which no package has.
for dir in bin sbin lib lib64; do
  [ -e "$root/$dir" ] || [ ! -e "$root/usr/$dir" ] || ln -s "usr/$dir" "$root/$dir"
done"#;

/// Makes a root filesystem of Debian packages, with the libraries that they need and nothing that is run when they are
/// installed. `Ok(Err(why))` when they cannot be had.
///
/// # Errors
/// When the directory cannot be made.
pub fn debian_root(root: &Path, packages: &[&str]) -> Result<std::result::Result<(), String>> {
    let downloads = tempfile::Builder::new().prefix("nacelle-packages-").tempdir()?;
    let Some(root) = root.to_str() else { bail!("{} is not in UTF-8", root.display()) };
    let output = Command::new("sh").args(["-c", UNPACK, "sh", root]).args(packages).current_dir(&downloads).output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Ok(Err(format!("{} cannot be had from Debian: {}", packages.join(" "), words.trim())))
}
