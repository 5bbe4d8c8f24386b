//! The words of the product: what came of a request goes in as an [`event`], what people are told comes out as an
//! [`alert`].

pub mod alert;
pub mod event;
pub mod ids;
pub mod outcome;
pub mod success;
