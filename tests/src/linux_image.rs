//! Images of Linux programs, made by umoci out of busybox and what a case adds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::Layout;

/// An OCI layout with one image, tagged `1`.
#[derive(Debug)]
pub struct LinuxImage {
    layout: PathBuf,
}

impl LinuxImage {
    /// An image of the files below `root`, in a new layout, with what `umoci config` is told.
    ///
    /// # Errors
    /// When umoci fails.
    pub fn make(layout: &Path, root: &Path, config: &[&str]) -> Result<Self> {
        let image = format!("{}:1", layout.display());
        let layout_arg = layout.to_str().context("a path in UTF-8")?;
        let root = root.to_str().context("a path in UTF-8")?;
        succeed("umoci", &["init", "--layout", layout_arg])?;
        succeed("umoci", &["new", "--image", &image])?;
        succeed("umoci", &["insert", "--image", &image, root, "/"])?;
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let path = "--config.env=PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        let mut args = vec!["config", "--image", &image, "--os=linux", "--architecture", architecture, path];
        args.extend(config);
        succeed("umoci", &args)?;
        Ok(Self { layout: layout.to_owned() })
    }

    /// Where it is.
    pub fn layout(&self) -> &Path {
        &self.layout
    }
}

/// Makes a root filesystem of busybox with all its applets, and the users root and app (1000).
///
/// # Errors
/// When a file cannot be written.
pub fn busybox_root(root: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    for dir in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/share"] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    std::fs::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    let path = succeed("sh", &["-c", "command -v busybox"])?;
    std::fs::copy(path.trim(), root.join("bin/busybox"))?;
    for applet in succeed("busybox", &["--list"])?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\n")?;
    Ok(())
}

/// Runs a tool and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails, with its words.
pub fn succeed(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes the layout `busybox` in `dir`, with the files below `root` as the image `1`, whose user is `app`. A second layer has
/// that user's folder `/home/app` (0700), with a file `note` (0400) and a program `up` that sets its user.
///
/// # Errors
/// When a file cannot be written.
pub fn busybox_layout(root: &Path, dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let pack = |root: &Path, id: &str, what: &str| {
        let owner = [format!("--owner={id}"), format!("--group={id}")];
        Command::new("tar").arg("-C").arg(root).args(owner).args(["-cf", "-", what]).output()
    };
    let tar = pack(root, "0", ".")?;
    let home = tempfile::tempdir()?;
    let app = home.path().join("home/app");
    std::fs::create_dir_all(&app)?;
    std::fs::write(app.join("note"), "private\n")?;
    std::fs::copy(root.join("bin/busybox"), app.join("up"))?;
    for (path, mode) in [(app.join("note"), 0o400), (app.join("up"), 0o4755), (app, 0o700)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    let own = pack(home.path(), "1000", "home/app")?;
    let mut layout = Layout::create(&dir.join("busybox"))?;
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar.stdout)?;
    let own = layout.blob("application/vnd.oci.image.layer.v1.tar", &own.stdout)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"], own["digest"]]},
        "config": {"Entrypoint": ["/bin/sh", "-c"], "Env": ["PATH=/bin", "FROM=image"], "User": "app"},
    });
    let config = layout.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    layout.image("1", &config, &[layer, own])
}
