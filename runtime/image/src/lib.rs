//! OCI images: references, pulling, the content store.
