;; Logs one line with 16,000 texts of 4 MiB each, all the same bytes.
;; exports: lifecycle pipe
;; imports: log
(module
  ;; include reply
  (import "weir:host/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  (func (export "weir:plugin/pipe@0.1.0#run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $reply i32) (result i32)
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
    (call $log (i32.const 2) (i32.const 1024) (i32.const 8) (local.get $list) (i32.const 8000))
    (call $drop (local.get $reply))
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.const 32))
)
