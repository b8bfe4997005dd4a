;; Answers with a failure of a kind that there is not.
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
    (call $drop (local.get $reply))
    (i32.store8 (i32.const 32) (i32.const 1))
    (i32.store8 (i32.const 36) (i32.const 77))
    (i32.const 32))
)
