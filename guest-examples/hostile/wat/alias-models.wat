;; Claims 16,000 texts of 4 MiB each, all the same bytes: 64 GB out of 4 MiB.
;; exports: lifecycle pipe manifold
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/manifold@0.1.0#models") (result i32)
    (local $i i32) (local $at i32) (local $text i32) (local $list i32)
    (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 4194304)))
    (memory.fill (local.get $text) (i32.const 97) (i32.const 4194304))
    (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 128000)))
    (loop $again
      (local.set $at (i32.add (local.get $list) (i32.shl (local.get $i) (i32.const 4))))
      (i32.store offset=0 (local.get $at) (local.get $text))
      (i32.store offset=4 (local.get $at) (i32.const 4194304))
      (i32.store offset=8 (local.get $at) (local.get $text))
      (i32.store offset=12 (local.get $at) (i32.const 4194304))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 8000))))
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (local.get $list))
    (i32.store (i32.const 40) (i32.const 8000))
    (i32.const 32))
)
