;; Has a manifest that is nested a million levels deep.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (local $at i32)
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1000000)))
    (memory.fill (local.get $at) (i32.const 91) (i32.const 1000000))
    (i32.store (i32.const 16) (local.get $at))
    (i32.store (i32.const 20) (i32.const 1000000))
    (i32.const 16))
)
