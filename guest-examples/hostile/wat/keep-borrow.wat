;; Keeps the reply, which was only lent to it.
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
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.const 32))
)
