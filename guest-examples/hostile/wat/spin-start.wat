;; Never starts.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include stop
  ;; include run
  (func (export "weir:plugin/lifecycle@0.1.0#start") (result i32) (loop $again (br $again)) (unreachable))
)
