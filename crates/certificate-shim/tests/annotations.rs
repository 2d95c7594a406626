//! docs/annotations.md is generated from the table of annotations.

#[test]
fn the_reference_is_up_to_date() {
    let written = include_str!("../../../docs/annotations.md");
    let reference = certificate_shim::annotation::reference();
    assert_eq!(
        written, reference,
        "run `cargo run -p certificate-shim --example annotations > docs/annotations.md`"
    );
}
