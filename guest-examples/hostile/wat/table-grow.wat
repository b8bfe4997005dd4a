;; Grows a table by 100 million elements in a call, and says whether it got them.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  (table $t 1 funcref)
  (data (i32.const 2048) "refused")
  (data (i32.const 2064) "granted")
  (func (export "weir:plugin/pipe@0.1.0#run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $reply i32) (result i32)
    (call $write (local.get $reply) (i32.const 0)
      (select (i32.const 2048) (i32.const 2064) (i32.eq (table.grow $t (ref.null func) (i32.const 100000000)) (i32.const -1)))
      (i32.const 7) (i32.const 96))
    (call $drop (local.get $reply))
    (i32.store8 (i32.const 32) (i32.const 0))
    (i32.const 32))
)
