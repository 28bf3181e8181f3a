use cedar_policy::*;
use std::{collections::HashSet, str::FromStr};

#[test]
fn spike() {
    let base = SchemaFragment::from_cedarschema_str(include_str!("../../src/cedar/schema.cedarschema")).unwrap().0;
    let mut json = base.to_json_value().unwrap();
    println!("{}", serde_json::to_string_pretty(&json[""]["entityTypes"]["Table"]).unwrap());
    println!("{}", serde_json::to_string_pretty(&json[""]["entityTypes"]["Row"]).unwrap());
    json[""]["entityTypes"]["Row"]["shape"] = serde_json::json!({"type":"Record","attributes": {
        "seg": {"type":"EntityOrCommon","name":"String","required":true},
        "n": {"type":"EntityOrCommon","name":"Long","required":true},
        "d": {"type":"EntityOrCommon","name":"decimal","required":true},
        "t": {"type":"EntityOrCommon","name":"datetime","required":true},
        "b": {"type":"EntityOrCommon","name":"Bool","required":true},
        "o": {"type":"EntityOrCommon","name":"Opaque","required":true},
    }});
    let t0 = std::time::Instant::now();
    let schema = Schema::from_json_value(json).unwrap();
    println!("schema {:?}", t0.elapsed());
    for cond in [
        r#"resource.seg == "BUILDING""#,
        r#"resource has seg && resource.seg != "A""#,
        r#"resource.n > 5 || resource.b"#,
        r#"resource.d.lessThan(decimal("1.5"))"#,
        r#"resource.d == decimal("1.50")"#,
        r#"resource.t < datetime("1995-01-01")"#,
        r#"["a","b"].contains(resource.seg)"#,
        r#"resource.seg like "a*\*_%""#,
        r#"principal.subject == resource.seg"#,
        r#"principal.hasTag("tenant") && principal.getTag("tenant") == resource.seg"#,
        r#"resource has o"#,
        r#"if resource.b then resource.n == 1 else resource.n == 2"#,
        r#"resource.n + 1 == 2"#,
        r#"!(resource has nope) && resource.b"#,
        r#"principal.getTag("nope") == resource.seg"#,
        r#"resource.b || true"#,
        r#"resource.b && principal.getTag("nope") == "x""#,
        r#"resource in Table::"lake.tpch.customer" && resource.n == -5"#,
    ] {
        let src = format!(
            r#"permit(principal in Group::"analyst", action == Action::"select", resource is Row in Table::"lake.tpch.customer") when {{ {cond} }};"#
        );
        let ps = PolicySet::from_str(&src).unwrap();
        let user: EntityUid = r#"User::"i#alice""#.parse().unwrap();
        let row = r#"Row::"r""#.parse().unwrap();
        let t: EntityUid = r#"Table::"lake.tpch.customer""#.parse().unwrap();
        let g: EntityUid = r#"Group::"analyst""#.parse().unwrap();
        let t0 = std::time::Instant::now();
        let ents = PartialEntities::from_partial_entities(
            [
                PartialEntity::new(
                    user.clone(),
                    Some(
                        [
                            ("issuer".into(), RestrictedExpression::new_string("i".into())),
                            ("subject".into(), RestrictedExpression::new_string("alice".into())),
                        ]
                        .into(),
                    ),
                    Some(HashSet::from([g])),
                    Some([("tenant".into(), RestrictedExpression::new_string("t1".into()))].into()),
                    &schema,
                )
                .unwrap(),
                PartialEntity::new(row, None, Some(HashSet::from([t])), Some([].into()), &schema).unwrap(),
            ],
            &schema,
        )
        .unwrap();
        let req = PartialRequest::new(
            PartialEntityUid::from_concrete(user),
            r#"Action::"select""#.parse().unwrap(),
            PartialEntityUid::from_concrete(r#"Row::"r""#.parse().unwrap()),
            Some(Context::empty()),
            &schema,
        )
        .unwrap();
        match ps.tpe(&req, &ents, &schema) {
            Ok(r) => {
                println!("== {cond} {:?} {:?}", r.decision(), t0.elapsed());
                for p in r.policies() {
                    println!("{:?}", p.to_pst().map(|p| p.body().clauses().clone()));
                }
            }
            Err(e) => println!("== {cond} ERR {e} {e:?}"),
        }
    }
}
