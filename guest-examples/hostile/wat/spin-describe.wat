;; Never says what it is.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32) (loop $again (br $again)) (unreachable))
)
