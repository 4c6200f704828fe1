//! docs/examples/nginx: nginx between WebAssembly containers. Its image is made of Debian's package.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use nacelle_tests::{
    Finished, LinuxImage, Nacelle, Unprivileged, debian_root, guest, have, is_root, repository_root, skip,
};

/// Makes the image `oci:nginx:1` in `dir`; says whether this machine can.
fn image(dir: &Path) -> Result<bool> {
    if !(is_root() && ["apt-get", "dpkg-deb", "umoci"].into_iter().all(have)) {
        return Ok(false);
    }
    let root = dir.join("nginx-root");
    if let Err(why) = debian_root(&root, &["nginx", "nginx-common"])? {
        skip(&why);
        return Ok(false);
    }
    // What Debian's scripts and Docker's image do besides.
    for path in ["run", "tmp", "var/log/nginx", "var/lib/nginx"] {
        std::fs::create_dir_all(root.join(path))?;
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\nwww-data:x:33:\n")?;
    symlink("/dev/stdout", root.join("var/log/nginx/access.log"))?;
    symlink("/dev/stderr", root.join("var/log/nginx/error.log"))?;
    let command = ["nginx", "-g", "daemon off;"].map(|word| format!("--config.cmd={word}"));
    let mut config: Vec<&str> = command.iter().map(String::as_str).collect();
    config.push("--config.stopsignal=SIGQUIT");
    LinuxImage::make(&dir.join("nginx"), &root, &config)?;
    Ok(true)
}

/// The example, with that image.
fn manifest() -> Result<String> {
    for sample in ["hello", "http-server", "http-client"] {
        guest(sample);
    }
    let text = std::fs::read_to_string(repository_root().join("docs/examples/nginx/pod.yaml"))?;
    let text = text.replace("../../..", &repository_root().display().to_string());
    assert!(text.contains("docker.io/library/nginx:1.27"));
    Ok(text.replace("docker.io/library/nginx:1.27", "oci:nginx:1"))
}

fn check(finished: &Finished) {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, 0, "{said}");
    let of = |container: &str| -> Vec<&str> {
        let lines = finished.stdout.lines().filter_map(|line| line.split_once('|'));
        lines.filter(|(name, _)| name.trim() == format!("nginx/{container}")).map(|(_, line)| line.trim()).collect()
    };
    assert_eq!(of("page"), ["200", "<h1>Hello from WebAssembly</h1>"], "{said}");
    assert_eq!(of("through-nginx"), ["200", "nginx"], "{said}");
    assert!(of("nginx").iter().any(|line| line.contains("\"GET /api/env/POD HTTP/1.1\" 200")), "{said}");
}

#[test]
fn nginx_serves_what_a_wasm_sidecar_wrote_and_is_a_proxy_of_another() -> Result<()> {
    let nacelle = Nacelle::new()?;
    if !image(&nacelle.work_dir())? {
        return Ok(());
    }
    let manifest = nacelle.write("pod.yaml", &manifest()?)?;
    check(&nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?);
    Ok(())
}

#[test]
fn it_does_so_for_a_user_who_is_not_root() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    if !image(&user.work_dir())? {
        return Ok(());
    }
    check(&user.start(&manifest()?)?.finish()?);
    assert_eq!(user.left()?, Vec::<String>::new());
    Ok(())
}
