;; Never gives its state away, and so stands in the way of a reload.
;; exports: lifecycle pipe handover
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/handover@0.1.0#snapshot") (result i32) (loop $again (br $again)) (unreachable))
  (func (export "weir:plugin/handover@0.1.0#restore") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) (unreachable))
)
