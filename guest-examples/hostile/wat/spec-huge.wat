;; Has a valves spec of 64 MiB.
;; exports: lifecycle pipe valves
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/valves@0.1.0#spec") (result i32)
    (local $at i32)
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 67108864)))
    (memory.fill (local.get $at) (i32.const 32) (i32.const 67108864))
    (i32.store (i32.const 48) (local.get $at))
    (i32.store (i32.const 52) (i32.const 67108864))
    (i32.const 48))
  (func (export "weir:plugin/valves@0.1.0#updated") (param i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.const 32))
)
