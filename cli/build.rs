//! What `--version` says of the build beside its commit: the target.

fn main() {
    println!("cargo:rustc-env=MILLSTREAM_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo:rerun-if-changed=build.rs");
}
