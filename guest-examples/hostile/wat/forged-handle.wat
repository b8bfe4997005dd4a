;; Writes to a reply that it was never given.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  (func (export "weir:plugin/pipe@0.1.0#run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $reply i32) (result i32)
    (call $write (i32.const 4242) (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 96))
    (call $drop (local.get $reply))
    (i32.const 32))
)
