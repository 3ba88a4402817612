//! The chapters of the manual.

macro_rules! chapters {
    ($($name:ident,)*) => {
        $(
            #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

chapters! {
    rotating_keys,
    split_keys,
    turning_sealing_on,
}
