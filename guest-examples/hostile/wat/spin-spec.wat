;; Never says which valves it has.
;; exports: lifecycle pipe valves
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/valves@0.1.0#spec") (result i32) (loop $again (br $again)) (unreachable))
  (func (export "weir:plugin/valves@0.1.0#updated") (param i32 i32) (result i32) (loop $again (br $again)) (unreachable))
)
