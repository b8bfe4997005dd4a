;; A filter that never lets a request through.
;; exports: lifecycle filter
(module
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  (func (export "weir:plugin/filter@0.1.0#inlet") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (loop $again (br $again)) (unreachable))
  (func (export "weir:plugin/filter@0.1.0#outlet") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (loop $again (br $again)) (unreachable))
)
