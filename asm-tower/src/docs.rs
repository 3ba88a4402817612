//! The chapters of the manual. Their examples need the feature `axum`.

macro_rules! chapters {
    ($($name:ident,)*) => {
        $(
            #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

chapters! {
    quick_start,
    modes,
    cookies,
    errors,
    testing,
}
