//! Lets the program say what it is built for: cargo tells only build scripts.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").expect("cargo sets it for build scripts");
    println!("cargo::rustc-env=WARDWATCH_TARGET={target}");
}
