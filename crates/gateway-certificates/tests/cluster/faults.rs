//! Faults between the controller and the API server: whatever is lost, late, forbidden or silent, the controller
//! recovers by itself.

use crate::harness::*;

#[test]
fn the_proxy_forwards_and_injects() {
    scenario(async |s| {
        let team_a = s.namespace("team-a").await;
        let proxy = Proxy::start(s, 1).await;
        let controller = s.controller().through(&proxy).start().await;
        s.apply(gateway(&team_a, "shop").server("shop-tls", ["shop.example.com"])).await;
        s.appears(CERTIFICATE, &team_a, "shop-tls").await;
        controller.at_rest().await;
        let created = proxy.seen(&calls().verbs(["create"]).of("certificates").within(&team_a));
        assert_eq!(created.iter().map(|seen| seen.code).collect::<Vec<_>>(), [Some(201)]);

        // An open watch that is cut is resumed, a silent one delivers later.
        let watches = calls().verbs(["watch"]).of("gateways");
        let before = proxy.seen(&watches).len();
        let cut = proxy.add(Rule::new(Fault::CutWatch, watches.clone()).first(1));
        eventually("the watch is resumed", async || match proxy.seen(&watches).len() {
            count if count > before => Ok(()),
            count => Err(format!("{count} watches")),
        })
        .await;
        assert_eq!(proxy.remove(cut), 1);
        let silence = proxy.add(Rule::new(Fault::SilenceWatch, watches));
        s.apply(gateway(&team_a, "late").server("late-tls", ["late.example.com"])).await;
        controller.at_rest().await;
        assert_eq!(s.certificates(&team_a).await, ["shop-tls"]);
        assert_eq!(proxy.remove(silence), 1);
        s.appears(CERTIFICATE, &team_a, "late-tls").await;
    });
}
