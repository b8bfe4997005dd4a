;; Never gets ready.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32) (loop $again (br $again)) (unreachable))
)
