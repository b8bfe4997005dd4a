;; Answers with a failure whose text has 100 MiB.
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
    (drop (memory.grow (i32.const 1600)))
    (call $drop (local.get $reply))
    ;; err(internal(ptr, len)), at 32
    (i32.store8 (i32.const 32) (i32.const 1))
    (i32.store8 (i32.const 36) (i32.const 3))
    (i32.store (i32.const 40) (i32.const 65536))
    (i32.store (i32.const 44) (i32.const 104857600))
    (i32.const 32))
)
