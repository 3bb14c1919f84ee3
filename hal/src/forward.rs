//! Forwarding of calls: a reference, `Box` or `Arc` of a part of a board is that part too, and a wrapper that changes one
//! call lists only that one.
//!
//! [`part!`] takes the definition of a HAL trait and makes all of it from the one list of its methods: the trait, the impls
//! for pointers and a layer for wrappers. It takes no default bodies, so a method that is not forwarded, the usual
//! mistake in wrappers, does not compile. A trait with supertraits, such as [`crate::Volume`], has a layer with the layers
//! of these as supertraits.

/// A wrapper over a part of a board. What it changes is in an impl of the part's layer, such as
/// [`crate::BlockDevicesLayer`]: a method that is not written there calls the part below. [`Layered`] makes a part of the
/// wrapper. The head of this crate has an example.
pub trait Layer {
    /// The part of a board that is wrapped.
    type Below: ?Sized;

    /// The part below.
    fn below(&self) -> &Self::Below;
}

/// A [`Layer`] over a part whose methods take `&mut self`: a source, a target or a file.
pub trait LayerMut: Layer {
    /// The part below.
    fn below_mut(&mut self) -> &mut Self::Below;
}

/// A [`Layer`] as the part of a board that it wraps.
#[derive(Debug, Clone, Copy)]
pub struct Layered<L>(pub L);

/// Defines a HAL trait, its impls for pointers, and its layer.
macro_rules! part {
    (
        $(#[$meta:meta])*
        pub trait $name:ident: $first:ident $(+ $more:ident)* { $($body:tt)* }
        layer $layer:ident: $below:ident $(+ $above:ident)*;
        pointers ($($pointer:tt)+);
    ) => {
        $(#[$meta])*
        pub trait $name: $first $(+ $more)* { $($body)* }

        $crate::forward::part! { @layers $name $layer ($below $(+ $above)*) ($($pointer)+) [] $($body)* }
    };

    // Brings each method into one form: receiver, name, arguments, result.
    (
        @layers $name:ident $layer:ident $above:tt $pointers:tt [$($done:tt)*]
        $(#[$meta:meta])* fn $method:ident(&self $(, $arg:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;
        $($rest:tt)*
    ) => {
        $crate::forward::part! {
            @layers $name $layer $above $pointers
            [$($done)* (ref $method ($($arg: $kind),*) ($($result)?))] $($rest)*
        }
    };
    (
        @layers $name:ident $layer:ident $above:tt $pointers:tt [$($done:tt)*]
        $(#[$meta:meta])* fn $method:ident(&mut self $(, $arg:ident: $kind:ty)* $(,)?) $(-> $result:ty)?;
        $($rest:tt)*
    ) => {
        $crate::forward::part! {
            @layers $name $layer $above $pointers
            [$($done)* (mut $method ($($arg: $kind),*) ($($result)?))] $($rest)*
        }
    };
    (@layers $name:ident $layer:ident ($below:ident $(+ $above:ident)*) ($($pointer:tt)+) [$($done:tt)*]) => {
        #[doc = concat!("A [`Layer`](crate::Layer) over [`", stringify!($name), "`]: a method that is not written calls the part below.")]
        #[allow(missing_docs)]
        pub trait $layer: $crate::Layer<Below: $name> + $below $(+ $above)* {
            $( $crate::forward::part! { @below $name $done } )*
        }

        impl<L: $layer> $name for $crate::Layered<L> {
            $( $crate::forward::part! { @layered $layer $done } )*
        }

        $crate::forward::part! { @pointers $name ($($pointer)+) [$($done)*] }
    };

    (@pointers $name:ident () $methods:tt) => {};
    (@pointers $name:ident (& $($rest:tt)*) [$($done:tt)*]) => {
        impl<T: $name + ?Sized> $name for &T {
            $( $crate::forward::part! { @pointer $name $done } )*
        }
        $crate::forward::part! { @pointers $name ($($rest)*) [$($done)*] }
    };
    (@pointers $name:ident (mut $($rest:tt)*) [$($done:tt)*]) => {
        impl<T: $name + ?Sized> $name for &mut T {
            $( $crate::forward::part! { @pointer $name $done } )*
        }
        $crate::forward::part! { @pointers $name ($($rest)*) [$($done)*] }
    };
    (@pointers $name:ident ($pointer:ident $($rest:tt)*) [$($done:tt)*]) => {
        impl<T: $name + ?Sized> $name for $pointer<T> {
            $( $crate::forward::part! { @pointer $name $done } )*
        }
        $crate::forward::part! { @pointers $name ($($rest)*) [$($done)*] }
    };

    (@pointer $name:ident (ref $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&self $(, $arg: $kind)*) $(-> $result)? {
            <T as $name>::$method(&**self $(, $arg)*)
        }
    };
    (@pointer $name:ident (mut $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&mut self $(, $arg: $kind)*) $(-> $result)? {
            <T as $name>::$method(&mut **self $(, $arg)*)
        }
    };
    (@below $name:ident (ref $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&self $(, $arg: $kind)*) $(-> $result)? {
            <Self::Below as $name>::$method(self.below() $(, $arg)*)
        }
    };
    (@below $name:ident (mut $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&mut self $(, $arg: $kind)*) $(-> $result)? {
            <Self::Below as $name>::$method(self.below_mut() $(, $arg)*)
        }
    };
    (@layered $layer:ident (ref $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&self $(, $arg: $kind)*) $(-> $result)? {
            <L as $layer>::$method(&self.0 $(, $arg)*)
        }
    };
    (@layered $layer:ident (mut $method:ident ($($arg:ident: $kind:ty),*) ($($result:ty)?))) => {
        fn $method(&mut self $(, $arg: $kind)*) $(-> $result)? {
            <L as $layer>::$method(&mut self.0 $(, $arg)*)
        }
    };
}

pub(crate) use part;
