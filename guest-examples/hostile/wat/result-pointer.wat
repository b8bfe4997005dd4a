;; Answers with a result that lies outside its memory.
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
    (i32.const 0x7ffffff0))
)
