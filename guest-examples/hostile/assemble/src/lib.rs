//! Nothing. The package's build script makes the hostile components that no compiler would make, and leaves them in its output folder. A build script, because
//! then it shares its libraries with the macros of the guests' bindings, which are built anyway.
