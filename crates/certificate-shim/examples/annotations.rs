//! Prints the annotation reference, docs/annotations.md.

fn main() {
    print!("{}", certificate_shim::annotation::reference());
}
