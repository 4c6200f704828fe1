//! Images from layouts, archives and a real registry.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Result, ensure};
use nacelle_tests::{Credentials, Finished, Layout, Nacelle, Pod, Records, Registry, Running, guest, have, skip};
use serde_json::json;

fn run(nacelle: &Nacelle, objects: &str, pod: &Pod) -> Result<Finished> {
    let manifest = nacelle.write("pod.yaml", &format!("{objects}{}", pod.yaml()))?;
    nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

fn artifact(nacelle: &Nacelle) -> Result<Layout> {
    let mut layout = Layout::create(&nacelle.work_dir().join("layout"))?;
    layout.wasm_artifact("v1", &std::fs::read(guest("hello"))?)?;
    Ok(layout)
}

#[test]
fn a_wasm_artifact_runs_from_a_layout_and_from_an_archive() -> Result<()> {
    let nacelle = Nacelle::new()?;
    artifact(&nacelle)?;
    let layout = nacelle.work_dir().join("layout");
    let archive = nacelle.work_dir().join("image.tar");
    ensure!(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&layout).arg(".").status()?.success());
    for image in ["oci:layout:v1", "oci-archive:image.tar"] {
        let finished = run(&nacelle, "", &Pod::new("p").image("c", image, &["image"], ""))?;
        assert_eq!((finished.code, finished.stdout.as_str()), (0, "Hello, image!\n"), "{image}: {}", finished.stderr);
    }
    Ok(())
}

#[test]
fn an_image_of_files_runs_the_program_its_entrypoint_names() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let root = nacelle.work_dir().join("root");
    std::fs::create_dir_all(root.join("app"))?;
    std::fs::copy(guest("hello"), root.join("app/main.wasm"))?;
    std::fs::write(root.join("app/greeting"), "from the image's own files\n")?;
    let tar = Command::new("tar").args(["-C"]).arg(&root).args(["-cf", "-", "."]).output()?.stdout;
    let mut layout = Layout::create(&nacelle.work_dir().join("layout"))?;
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar)?;
    let config = json!({
        "architecture": "wasm", "os": "wasip1",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {"Entrypoint": ["/app/main.wasm"], "Cmd": ["cat", "/app/greeting"], "Env": ["A=b"], "WorkingDir": "/app"},
    });
    let config = layout.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    layout.image("v1", &config, &[layer])?;

    let finished = run(&nacelle, "", &Pod::new("p").image("c", "oci:layout:v1", &[], ""))?;
    assert_eq!(finished.stdout, "from the image's own files\n", "{}", finished.stderr);
    let finished = run(&nacelle, "", &Pod::new("p").image("c", "oci:layout:v1", &["env", "A"], ""))?;
    assert_eq!(finished.stdout, "A=b\n", "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_registry_is_pulled_from_with_and_without_credentials() -> Result<()> {
    if !(have("docker-registry") && have("skopeo") && have("htpasswd")) {
        return Ok(());
    }
    let nacelle = Nacelle::new()?;
    artifact(&nacelle)?;
    let layout = nacelle.work_dir().join("layout");

    let open = Registry::start(None)?;
    let image = open.push(&layout, "v1", "team/hello:1.0")?;
    let finished = run(&nacelle, "", &Pod::new("p").image("c", &image, &["registry"], ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "Hello, registry!\n"), "{}", finished.stderr);
    drop(open);
    let finished = run(&nacelle, "", &Pod::new("p").image("c", &image, &["again"], ""))?;
    assert_eq!(finished.stdout, "Hello, again!\n", "IfNotPresent needs no registry: {}", finished.stderr);

    let closed = Registry::start(Some(Credentials { user: "pilot", password: "pw" }))?;
    let image = closed.push(&layout, "v1", "team/hello:1.0")?;
    let finished = run(&nacelle, "", &Pod::new("p").image("c", &image, &["x"], ""))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("imagePullSecrets"), "{}", finished.stderr);

    let docker = json!({"auths": {closed.address(): {"username": "pilot", "password": "pw"}}}).to_string();
    let objects = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: pull}}\ntype: kubernetes.io/dockerconfigjson\n\
         stringData:\n  .dockerconfigjson: '{docker}'\n---\n"
    );
    let pod = Pod::new("p").spec("imagePullSecrets: [{name: pull}]").image("c", &image, &["secret"], "");
    let finished = run(&nacelle, &objects, &pod)?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "Hello, secret!\n"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn https_is_spoken_and_the_certificate_is_checked() -> Result<()> {
    if !(have("docker-registry") && have("skopeo") && have("openssl") && have("unshare")) {
        return Ok(());
    }
    let nacelle = Nacelle::new()?;
    artifact(&nacelle)?;
    let registry = Registry::start_tls()?;
    registry.push(&nacelle.work_dir().join("layout"), "v1", "team/hello:1.0")?;
    // Loopback by its own name would be spoken to in plain http.
    let image = format!("registry.test:{}/team/hello:1.0", registry.port());
    let Some(untrusting) = nacelle.command_with_host("registry.test", ["pull", &image])? else {
        skip("no mount namespace may be made here");
        return Ok(());
    };
    let finished = Running::start(untrusting)?.finish()?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("certificate"), "{}", finished.stderr);

    let trusting = nacelle.command_with_host("registry.test", ["pull", &image])?;
    let mut trusting = trusting.ok_or_else(|| anyhow::anyhow!("no mount namespace the second time"))?;
    trusting.env("SSL_CERT_FILE", registry.authority());
    let finished = Running::start(trusting)?.finish()?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(nacelle.run(["images"])?.stdout.contains(&image));
    Ok(())
}

#[test]
fn a_layer_of_other_bytes_than_its_digest_is_refused_and_the_store_stays_usable() -> Result<()> {
    let nacelle = Nacelle::new()?;
    artifact(&nacelle)?;
    let wasm = std::fs::read(guest("hello"))?;
    let blobs = nacelle.work_dir().join("layout/blobs/sha256");
    let layer = std::fs::read_dir(&blobs)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.metadata().is_ok_and(|metadata| metadata.len() == wasm.len() as u64));
    let layer = layer.ok_or_else(|| anyhow::anyhow!("no layer"))?;

    let mut damaged = wasm.clone();
    damaged[100] ^= 1;
    for (bytes, what) in [(&damaged[..], "another digest"), (&wasm[..1000], "a truncated layer")] {
        std::fs::write(&layer, bytes)?;
        let finished = run(&nacelle, "", &Pod::new("p").image("c", "oci:layout:v1", &["x"], ""))?;
        assert_eq!(finished.code, 125, "{what}: {}", finished.stderr);
        assert!(finished.stderr.contains("sha256:"), "{what}: {}", finished.stderr);
    }
    std::fs::write(&layer, &wasm)?;
    let finished = run(&nacelle, "", &Pod::new("p").image("c", "oci:layout:v1", &["mended"], ""))?;
    assert_eq!(finished.stdout, "Hello, mended!\n", "{}", finished.stderr);
    Ok(())
}

#[test]
fn what_is_no_wasm_or_not_there_is_said_so() -> Result<()> {
    let nacelle = Nacelle::new()?;
    nacelle.write("text.wasm", "this is no WebAssembly")?;
    for (image, words) in [
        ("file:text.wasm", "is not WebAssembly"),
        ("file:absent.wasm", "No such file"),
        ("127.0.0.1:1/nobody/here:1", "unavailable"),
        ("UPPER/case", "lowercase"),
    ] {
        let finished = run(&nacelle, "", &Pod::new("p").image("c", image, &["x"], ""))?;
        assert_eq!(finished.code, 125, "{image}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{image}: {}", finished.stderr);
    }
    Ok(())
}

#[test]
fn images_are_listed_removed_and_pruned() -> Result<()> {
    let nacelle = Nacelle::new()?;
    artifact(&nacelle)?;
    let finished = nacelle.run(["pull", "oci:layout:v1"])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let listed = nacelle.run(["images"])?;
    assert!(listed.stdout.contains("layout:v1") && listed.stdout.contains("wasm"), "{}", listed.stdout);
    let id = nacelle.run(["images", "-q"])?.stdout;
    let removed = nacelle.run(["rmi", id.trim()])?;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(nacelle.run(["images", "-q"])?.stdout, "");
    assert_eq!(nacelle.run(["prune", "--all"])?.code, 0);
    let absent = nacelle.run(["rmi", "absent:1"])?;
    assert_ne!(absent.code, 0);
    Ok(())
}

#[test]
fn a_failed_pull_is_said_once_in_one_sentence() -> Result<()> {
    let finished = run(&Nacelle::new()?, "", &Pod::new("p").image("c", "file:none.wasm", &[], ""))?;
    assert_eq!(finished.code, 125);
    let lines: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", finished.stderr);
    let expected = "error: p/c cannot start: ImagePullBackOff: Back-off pulling image \"file:none.wasm\": ErrImagePull: \
                    cannot read ";
    assert!(lines[0].starts_with(expected), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_linux_program_that_cannot_be_executed_is_a_failed_start() -> Result<()> {
    let Some(nacelle) = crate::linux::ground()? else { return Ok(()) };
    let root = nacelle.work_dir().join("no-program");
    std::fs::create_dir_all(root.join("bin"))?;
    for (name, mode) in [("without-permission", 0o644), ("of-no-format", 0o755)] {
        std::fs::write(root.join("bin").join(name), "\x7fELF")?;
        std::fs::set_permissions(root.join("bin").join(name), std::fs::Permissions::from_mode(mode))?;
    }
    let tar = Command::new("tar").args(["-C"]).arg(&root).args(["-cf", "-", "."]).output()?.stdout;
    let mut layout = Layout::create(&nacelle.work_dir().join("layout"))?;
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &tar)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {},
    });
    let config = layout.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    layout.image("v1", &config, &[layer])?;
    for (name, words) in [("without-permission", "permission denied"), ("of-no-format", "exec format error")] {
        let pod = Pod::new("p").image("c", "oci:layout:v1", &[&format!("/bin/{name}")], "");
        let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
        let args = ["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()];
        let finished = nacelle.run(args)?;
        assert_eq!(finished.code, 128, "{}", finished.stderr);
        let records = Records::parse(&finished.stdout)?;
        let ended = &records.container_status("c")?["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&128.into(), &"StartError".into()), "{ended}");
        let message = ended["message"].as_str().unwrap_or_default();
        assert_eq!(message, format!("exec: \"/bin/{name}\": {words}"));
    }
    Ok(())
}
