//! OCI image layouts made by hand, so that a case decides on every byte.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An OCI image layout (OCI image specification, image-layout.md) in a folder.
pub struct Layout {
    dir: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// An empty layout.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join("blobs/sha256"))?;
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { dir: dir.to_owned(), manifests: Vec::new() })
    }

    /// Stores bytes and returns their descriptor.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(self.dir.join("blobs/sha256").join(&hex), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()}))
    }

    /// Adds an image of a config and layers under a tag.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn image(&mut self, tag: &str, config: &Value, layers: &[Value]) -> Result<()> {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        let mut descriptor = self.blob(media_type, manifest.to_string().as_bytes())?;
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.manifests.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        std::fs::write(self.dir.join("index.json"), index.to_string())?;
        Ok(())
    }

    /// Adds a wasm artifact as the CNCF's TAG Runtime specifies it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn wasm_artifact(&mut self, tag: &str, wasm: &[u8]) -> Result<()> {
        let layer = self.blob("application/wasm", wasm)?;
        let content = json!({"architecture": "wasm", "os": "wasip2", "layerDigests": [layer["digest"]]});
        let config = self.blob("application/vnd.wasm.config.v0+json", content.to_string().as_bytes())?;
        self.image(tag, &config, &[layer])
    }
}
