  (import "weir:host/chat@0.1.0" "[method]reply.write" (func $write (param $reply i32) (param $kind i32) (param $ptr i32) (param $len i32) (param $result i32)))
  (import "weir:host/chat@0.1.0" "[resource-drop]reply" (func $drop (param $reply i32)))
